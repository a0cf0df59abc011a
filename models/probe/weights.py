"""A linear probe as a file: safetensors with its card in the metadata, no pickle.

Gives and takes bytes; where they lie is the caller's.
"""

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from models.encoders.card import MPP_TOLERANCE, EncoderCard
from models.errors import MismatchError, WeightsError

KEY = "microtome_probe"
"""Key of the file's metadata that holds the card."""
LENGTH_BYTES = 8
"""A safetensors file begins with the length of its header: https://github.com/huggingface/safetensors#format"""
ARRAYS = ("weight", "bias", "mean", "scale")

Floats = NDArray[np.float32]


class ProbeCard(BaseModel):
    """What a linear probe is."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    encoder_id: str
    """Name of the embeddings that it learned from."""
    encoder: EncoderCard
    """What made them."""
    classes: tuple[str, ...]
    """Names, in the order of their numbers."""
    untaught: tuple[str, ...] = ()
    """Classes of which it saw no patch: it does not find them."""
    mpp: float | None = None
    """Microns per pixel of the patches; None where nobody said, or slides differ."""
    data: tuple[str, ...] = ()
    """What it learned from."""
    weights_sha256: str = ""
    """SHA-256 of the arrays; filled in when they are written."""
    versions: dict[str, str] = {}
    """Version of microtome."""

    def require_match(self, encoder: EncoderCard, mpp: float | None, *, force: bool) -> list[str]:
        """Refuse embeddings of another encoder, or resolution unless forced.

        Args:
            encoder: what made the embeddings.
            mpp: microns per pixel of their patches; None where nobody knows.
            force: take another resolution; gives the sentence to be recorded.

        Raises:
            MismatchError: they are not what it learned from.
        """
        if encoder.identity != self.encoder.identity:
            raise MismatchError(
                f"the embeddings were made by {_told(encoder)}, and the probe learned from those "
                f"of {_told(self.encoder)}; embed with the same, or train a probe on these"
            )
        if not mpp or not self.mpp or abs(mpp / self.mpp - 1) <= MPP_TOLERANCE:
            return []
        told = f"the patches have {mpp:.4g} um/px, the probe learned at {self.mpp:.4g}"
        if not force:
            raise MismatchError(f"{told}; cut at that resolution, or use --force")
        return [told]


def _told(card: EncoderCard) -> str:
    return f"{card.name} (layer {card.layer}, {card.identity})"


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier of D numbers into C classes.

    Attributes:
        weight: (C, D).
        bias: (C,).
        mean, scale: (D,), what is subtracted and divided by first; 0 and 1 where nothing is.
    """

    weight: Floats
    bias: Floats
    mean: Floats
    scale: Floats

    def scores(self, rows: NDArray[np.floating]) -> Floats:
        """Give the probabilities (n, C) of embeddings (n, D)."""
        known = (rows.astype(np.float32) - self.mean) / self.scale
        logits = (known @ self.weight.T + self.bias).astype(np.float64)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)

    @property
    def arrays(self) -> dict[str, Floats]:
        """All of it by name."""
        return {name: np.ascontiguousarray(getattr(self, name), np.float32) for name in ARRAYS}


def pack_probe(probe: LinearProbe, card: ProbeCard) -> bytes:
    """Give the bytes of the file.

    Raises:
        WeightsError: a weight is not finite.
    """
    from safetensors.numpy import save

    arrays = probe.arrays
    if not all(np.isfinite(values).all() for values in arrays.values()):
        raise WeightsError("the probe's weights are NaN or infinite; its training broke")
    stored = card.model_copy(update={"weights_sha256": _sha256(arrays)})
    return bytes(save(arrays, {KEY: stored.model_dump_json()}))


def unpack_probe(data: bytes, place: str) -> tuple[LinearProbe, ProbeCard]:
    """Read a file's bytes.

    Args:
        data: the whole file.
        place: its name, for errors.

    Raises:
        WeightsError: it is damaged, or another kind of file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        text = _metadata(data).get(KEY)
    except (SafetensorError, ValueError) as err:
        raise WeightsError(f"{place} is damaged or cut short: {err}; copy it again") from err
    if text is None:
        raise WeightsError(f"{place} has no card of a linear probe; it is another kind of file")
    try:
        card = ProbeCard.model_validate_json(text)
    except ValidationError as err:
        raise WeightsError(f"{place} has a card of another version: {err}") from err
    if _sha256(arrays) != card.weights_sha256:
        raise WeightsError(f"{place} is damaged: its arrays are not those of its card")
    return _built(arrays, card, place), card


def _metadata(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    header = json.loads(data[LENGTH_BYTES : LENGTH_BYTES + length])
    found: dict[str, str] = header.get("__metadata__", {})
    return found


def _built(arrays: dict[str, Floats], card: ProbeCard, place: str) -> LinearProbe:
    shapes = dict(zip(ARRAYS, _shapes(card), strict=True))
    if {name: values.shape for name, values in arrays.items()} != shapes:
        raise WeightsError(f"{place} does not hold the arrays that its card tells of: {shapes}")
    return LinearProbe(**arrays)


def _shapes(card: ProbeCard) -> tuple[tuple[int, ...], ...]:
    count, dim = len(card.classes), card.encoder.dim
    return (count, dim), (count,), (dim,), (dim,)


def _sha256(arrays: dict[str, Floats]) -> str:
    found = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        found.update(f"{name} {values.dtype} {values.shape}\n".encode())
        found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()
