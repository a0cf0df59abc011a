"""Trained classifiers and segmenters as files: safetensors with the card in its metadata."""

from importlib.metadata import version
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from models.encoders.weights import tensors_sha256
from models.errors import EncoderError, WeightsError
from models.files import write_whole
from models.segmentation.backbone import build_trunk
from models.segmentation.card import Role, TissueCard
from models.segmentation.classifier import Classifier
from models.segmentation.network import SegmenterPlan, build_segmenter

KEY = "microtome_tissue"
"""Key of the file's metadata that holds the card."""


class TissueModel(nn.Module):
    """A network of METHODS 10 with its card.

    Attributes:
        card: what it is.
        network: a `Classifier`, or a segmenter; in evaluation mode when it is opened.
    """

    def __init__(self, network: nn.Module, card: TissueCard) -> None:
        super().__init__()
        self.card = card
        self.network = network
        std = torch.tensor(card.std).view(1, 3, 1, 1)
        mean = torch.tensor(card.mean).view(1, 3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits, (B, C) or (B, C, H, W), of images as `prepare` gives them."""
        found: Tensor = self.network(images)
        return found

    def prepare(self, pixels: Tensor) -> Tensor:
        """Scale pixels to 0..1, subtract the mean, divide by std.

        Args:
            pixels: uint8 (B, H, W, 3) on the network's device.

        Returns:
            float32 (B, 3, H, W).
        """
        images = pixels.permute(0, 3, 1, 2).to(torch.float32)
        return images.mul(self.get_buffer("scale")).add_(self.get_buffer("shift"))


def save_model(path: Path, network: nn.Module, card: TissueCard) -> TissueCard:
    """Write a network and its card, wholly or not at all; gives the card as it is in the file.

    Raises:
        WeightsError: it cannot be written, or a weight is not finite.
    """
    tensors = {key: t.detach().cpu().contiguous() for key, t in network.state_dict().items()}
    bad = [key for key, t in tensors.items() if not bool(t.isfinite().all())]
    if bad:
        raise WeightsError(
            f"{path} is not written: {bad[0]} is NaN or infinite; its training broke"
        )
    about = {"weights_sha256": tensors_sha256(tensors), "versions": _versions()}
    stored = card.model_copy(update=about)
    try:
        write_whole(path, save(tensors, {KEY: stored.model_dump_json()}))
    except OSError as err:
        raise WeightsError(f"cannot write {path}: {err.strerror}") from err
    return stored


def open_model(path: Path, role: Role | None = None) -> TissueModel:
    """Open a classifier or segmenter, on the CPU and in evaluation mode.

    Args:
        path: of the file.
        role: that it must have; None takes either.

    Raises:
        WeightsError: there is no such file, it is damaged, of another role, or not of such a
            network.
    """
    card, tensors = _read(path)
    if role is not None:
        _require(card, role, path)
    if tensors_sha256(tensors) != card.weights_sha256:
        raise WeightsError(
            f"{path} is damaged: its tensors are not those of its card; copy it again"
        )
    try:
        network = _build(card)
        network.load_state_dict(tensors)
    except (EncoderError, RuntimeError) as err:
        raise WeightsError(
            f"{path} does not hold the weights that its card tells of: {err}"
        ) from err
    return TissueModel(network, card).eval()


def require_role(path: Path, role: Role) -> None:
    """Refuse a file that is no such model, by its card alone.

    Raises:
        WeightsError: it is of another role, or no tissue model.
    """
    _require(read_tissue_card(path), role, path)


def _require(card: TissueCard, role: Role, path: Path) -> None:
    if card.role != role:
        raise WeightsError(f"{path} holds a {card.role}, and a {role} is needed")


def read_tissue_card(path: Path) -> TissueCard:
    """Read the card alone.

    Raises:
        WeightsError: there is no such file, it is damaged, or has no such card.
    """
    return _read(path, tensors=False)[0]


def _read(path: Path, *, tensors: bool = True) -> tuple[TissueCard, dict[str, Tensor]]:
    if not path.is_file():
        raise WeightsError(f"there is no model {path}; was its training finished?")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
            names = file.keys() if tensors else ()
            found = {name: file.get_tensor(name) for name in names}
        if text is None:
            raise WeightsError(f"{path} has no card of a tissue model; it is another kind of file")
        return TissueCard.model_validate_json(text), found
    except (SafetensorError, OSError) as err:
        raise WeightsError(f"{path} is damaged or cut short: {err}; copy it again") from err
    except ValidationError as err:
        raise WeightsError(f"{path} has a card of another version: {err}") from err


def _build(card: TissueCard) -> nn.Module:
    classes = len(card.classes)
    if card.role == "classifier":
        return Classifier(build_trunk(card.architecture, card.options), classes)
    plan = SegmenterPlan(card.architecture, card.encoder, card.options)
    return build_segmenter(plan, classes)


def _versions() -> dict[str, str]:
    packages = ("timm", "segmentation-models-pytorch")
    return {"torch": str(torch.__version__)} | {name: version(name) for name in packages}
