"""A batch of patches and what is known of them."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B patches, in the order in which they were asked for.

    Attributes:
        pixels: `(B, H, W, C)` of the stored type: uint8 RGB for tissue.
        slide: position in the data set's `slides`, int64 `(B,)`.
        coords: x, y of the top-left corner in level-0 pixels, int32 `(B, 2)`.
        labels: class index, int64 `(B,)`, or 1, 0 per class, int8 `(B, C)`; -1 is unknown. None
            where the archive has none.
        partition: ordered class of the position, int64 `(B,)`; as labels.
        index: position in the data set, int64 `(B,)`.
        masks: class of each pixel in one or several opinions, uint8 `(B, M, H, W)`; None where
            nobody asked for them.
    """

    pixels: Tensor
    slide: Tensor
    coords: Tensor
    labels: Tensor | None
    partition: Tensor | None
    index: Tensor
    masks: Tensor | None = None

    def __len__(self) -> int:
        """Number of patches."""
        return len(self.index)

    def pin_memory(self) -> "Batch":
        """Copy into page-locked memory; the loader calls this where it is told to pin."""
        return Batch(*(None if t is None else t.pin_memory() for t in self._tensors()))  # type: ignore[arg-type]  # fields that may be None stay in place

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """Copy to a device."""
        moved = (
            None if t is None else t.to(device, non_blocking=non_blocking) for t in self._tensors()
        )
        return Batch(*moved)  # type: ignore[arg-type]  # as above

    def _tensors(self) -> list[Tensor | None]:
        return [getattr(self, field.name) for field in fields(self)]
