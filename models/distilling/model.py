"""The model of a stage: student and teacher with their heads in one file, with their card."""

from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from models.distilling.branch import Branch
from models.distilling.card import DistilledCard
from models.distilling.flexible import flexible_network, kind_of, wrapped
from models.distilling.settings import DistlSettings
from models.encoders.weights import tensors_sha256
from models.errors import WeightsError
from models.files import replacing

KEY = "microtome_distilled"
"""Of the file's metadata."""
MODEL = "model.safetensors"
"""File of the model in the folder of a stage."""


def save_distilled(
    path: Path, student: nn.Module, teacher: nn.Module, card: DistilledCard
) -> DistilledCard:
    """Write student and teacher, wholly or not at all; gives the card as it stands in the file.

    Raises:
        WeightsError: it cannot be written.
    """
    tensors = {
        f"{name}.{key}": tensor.detach().cpu().contiguous().clone()
        for name, branch in (("student", student), ("teacher", teacher))
        for key, tensor in branch.state_dict().items()
    }
    stored = card.model_copy(update={"weights_sha256": tensors_sha256(tensors)})
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, {KEY: stored.model_dump_json()})
    except (OSError, SafetensorError) as err:
        raise WeightsError(f"cannot write {path}: {err}") from err
    return stored


def read_distilled_card(path: Path) -> DistilledCard:
    """Read the card alone.

    Raises:
        WeightsError: there is no such file, it is damaged, or no such model.
    """
    return _read(path, tensors=False)[0]


def open_distilled(
    path: Path, settings: DistlSettings, *, drop_path: float = 0.0
) -> tuple[DistilledCard, Branch, Branch]:
    """Open a model on the CPU: card, student, teacher.

    Args:
        path: of the file.
        settings: of the method; the widths of the heads are the card's.
        drop_path: rate of stochastic depth of the student.

    Raises:
        WeightsError: there is no such file, it is damaged, or of another network.
        EncoderError: its network cannot be built here.
    """
    card, tensors = _read(path)
    if tensors_sha256(tensors) != card.weights_sha256:
        raise WeightsError(f"{path} is damaged: its tensors are not those of its card")
    found = []
    for name, rate in (("student", drop_path), ("teacher", 0.0)):
        branch = _build(card, settings, rate)
        own = {k.removeprefix(f"{name}."): t for k, t in tensors.items() if k.startswith(name)}
        try:
            branch.load_state_dict(own)
        except RuntimeError as err:
            raise WeightsError(f"{path} does not hold what its card tells of: {err}") from err
        found.append(branch)
    return card, found[0], found[1]


def _build(card: DistilledCard, settings: DistlSettings, drop_path: float) -> Branch:
    network = flexible_network(card.encoder, kind_of(card.encoder), drop_path)
    encoder = wrapped(network, card.encoder, (card.encoder.input_px,))
    return Branch(encoder, card.outputs, settings.with_heads(card.heads))


def _read(path: Path, *, tensors: bool = True) -> tuple[DistilledCard, dict[str, Tensor]]:
    if not path.is_file():
        raise WeightsError(f"there is no model {path}; was its training finished?")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
            names = list(file.keys()) if tensors else []
            found = {name: file.get_tensor(name) for name in names}
        if text is None:
            raise WeightsError(f"{path} is no model of `microtome distill`; is it an encoder?")
        return DistilledCard.model_validate_json(text), found
    except (SafetensorError, OSError) as err:
        raise WeightsError(f"{path} is damaged or cut short: {err}; copy it again") from err
    except ValidationError as err:
        raise WeightsError(f"{path} has a card of another version: {err}") from err
