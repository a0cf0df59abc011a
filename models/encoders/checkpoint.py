"""Our own checkpoints: safetensors with the EncoderCard in its metadata, written whole or not."""

from pathlib import Path

from pydantic import ValidationError
from safetensors.torch import save
from torch import nn

from models.encoders.card import EncoderCard
from models.encoders.encoder import Encoder
from models.encoders.weights import METADATA, find_file, read_metadata, tensors_sha256
from models.errors import WeightsError
from models.files import write_whole


def save_checkpoint(path: str | Path, module: nn.Module, card: EncoderCard) -> EncoderCard:
    """Write an encoder so that `open_encoder` opens it by its path; replaces what is there.

    Args:
        path: of the file; a folder gets `encoder.safetensors`.
        module: an encoder, or its bare network without a classifier.
        card: what it is; the hash and the name of its weights are filled in.

    Returns:
        The card as it stands in the file.

    Raises:
        WeightsError: it cannot be written.
    """
    target = Path(path)
    if target.suffix != ".safetensors":
        target = target / "encoder.safetensors"
    network = module.network if isinstance(module, Encoder) else module
    tensors = {key: t.detach().cpu().contiguous() for key, t in network.state_dict().items()}
    about = {"weights": target.name, "weights_sha256": tensors_sha256(tensors)}
    stored = card.model_copy(update=about)
    data = save(tensors, {METADATA: stored.model_dump_json()})  # two keys would have no order
    try:
        write_whole(target, data)
    except OSError as err:
        raise WeightsError(f"cannot write {target}: {err.strerror}") from err
    return stored


def read_card(path: str | Path) -> EncoderCard | None:
    """Read the card of one of our checkpoints; None where a file has none.

    Raises:
        WeightsError: there is no such file, it is damaged, or its card is of another version.
    """
    file = find_file(path)
    document = read_metadata(file)
    if document is None:
        return None
    try:
        return EncoderCard.model_validate(document)
    except ValidationError as err:
        raise WeightsError(
            f"the encoder card in {file} is not one that this version reads: "
            f"{err.errors()[0]['msg']} ({'.'.join(map(str, err.errors()[0]['loc']))})"
        ) from err
