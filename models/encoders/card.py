"""The EncoderCard: what an encoder is, which travels with every checkpoint and every embedding."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from models.errors import MismatchError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MPP_TOLERANCE = 0.03
"""Relative difference of microns per pixel that is no mismatch, as for choosing a level."""


class EncoderCard(BaseModel):
    """An encoder, wholly described; equal cards make equal embeddings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """Name that it is asked for by, such as resnet50."""
    method: str
    """How the weights came about: random, imagenet, mocov3, supervised, unknown …"""
    architecture: str
    """The network as its library names it, such as timm:resnet50."""
    architecture_options: dict[str, Any] = {}
    """What the network was built with beyond its library's own, such as another input size."""
    weights: str
    """Where the weights are from: random:SEED, a file's name, or the library's own tag."""
    weights_sha256: str
    """SHA-256 of the weights' file; of the tensors for random and library weights, and for our own
    checkpoints, which hold it themselves."""
    input_px: int
    """Side of the square input in pixels."""
    patch_px: int | None = None
    """Side of the patches that it takes, where that is another; they are resized to its input."""
    mpp: float | None = None
    """Microns per pixel that it was trained at; None where nobody said."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Mean per channel that is subtracted, of values in 0 to 1."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Standard deviation per channel that is divided by."""
    dim: int
    """Length of an embedding."""
    layer: str
    """Which output: last, last2, stage1 to stage4, cls, mean, cls+mean."""
    usual: str = "last"
    """The layer that `last` means, where its authors use another than the network's own."""
    layer_options: dict[str, str] = {}
    """Further choices about the layer (stage_tap, stage_norm)."""
    data: tuple[str, ...] = ()
    """What the weights have seen, oldest first."""
    versions: dict[str, str] = {}
    """Versions of torch, timm and microtome that built it."""

    @property
    def encoder_id(self) -> str:
        """Name of its embeddings in an archive: the name, and the layer where it is not `last`."""
        plain = "".join(c if c.isalnum() or c in "._+-" else "-" for c in self.name).strip("-._+")
        return plain if self.layer == "last" else f"{plain}.{self.layer}"

    @property
    def identity(self) -> str:
        """Hash of all that changes embeddings; versions and history do not count."""
        described = self.model_dump(mode="json", exclude={"versions", "data", "method", "weights"})
        if self.patch_px is None:  # cards from before it was known keep their identity
            del described["patch_px"]
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]

    def mismatches(self, mpp: float | None, patch_px: int) -> list[str]:
        """Say where patches differ from what the encoder was made for; an unknown mpp does not."""
        found = []
        if mpp and self.mpp and abs(mpp / self.mpp - 1) > MPP_TOLERANCE:
            found.append(f"the patches have {mpp:.4g} um/px, {self.name} wants {self.mpp:.4g}")
        wanted = self.patch_px or self.input_px
        if patch_px != wanted:
            found.append(f"the patches have {patch_px} px a side, {self.name} wants {wanted}")
        return found

    def require_match(self, mpp: float | None, patch_px: int, *, force: bool) -> list[str]:
        """Refuse what does not match, unless forced; gives what was forced, to be recorded.

        Raises:
            MismatchError: the patches are not what the encoder was made for.
        """
        found = self.mismatches(mpp, patch_px)
        if found and not force:
            raise MismatchError(f"{'; '.join(found)}; cut at that size, or use --force")
        return found

    def document(self) -> dict[str, Any]:
        """Give the card as JSON values."""
        return self.model_dump(mode="json")
