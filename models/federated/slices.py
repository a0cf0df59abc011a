"""Slices of volumes in memory, on one canvas: each volume scaled on its own, with its label map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.errors import DataError
from tiling.labels import read_partition
from tiling.reader import PatchReader
from tiling.store import Archive, PatchStore

_T = TypeVar("_T", bound=np.generic)

OUTSIDE = 255
"""Class of pixels of the canvas that no slice covers, and of slices without a label map."""


@dataclass(frozen=True)
class Slices:
    """All slices of some volumes; volumes are numbered in the order of `names`.

    Attributes:
        images: float32 `(N, 1, S, S)`: mean 0 and deviation 1 in each volume; 0 outside of it.
        masks: class of each pixel, uint8 `(N, S, S)`; 255 where nobody said.
        partition: ordered class of each slice, int64 `(N,)`; -1 unknown.
        volume: number of each one's volume, int64 `(N,)`.
        extent: height and width of each slice on the canvas, int64 `(N, 2)`.
        names: of the volumes; they do not leave the site.
    """

    images: Tensor
    masks: Tensor
    partition: Tensor
    volume: Tensor
    extent: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.volume)

    @property
    def side_px(self) -> int:
        """Side of the canvas."""
        return self.images.shape[-1]

    def of(self, names: Sequence[str]) -> "Slices":
        """Give the slices of some volumes, numbered anew in the order of their names.

        Raises:
            DataError: there is no such volume, or none is asked for.
        """
        missing = set(names) - set(self.names)
        if missing or not names:
            raise DataError(f"no volume is called {min(missing, default='anything')!r} here")
        order = sorted(names)
        places = [self.names.index(name) for name in order]
        rows = torch.cat([torch.nonzero(self.volume == place)[:, 0] for place in places])
        volume = torch.tensor([places.index(int(one)) for one in self.volume[rows]])
        fields = (self.images, self.masks, self.partition)
        images, masks, partition = (field[rows] for field in fields)
        return Slices(images, masks, partition, volume, self.extent[rows], tuple(order))


def read_slices(archive: str, names: Sequence[str], side_px: int) -> Slices:
    """Read volumes that `import volumes` brought in.

    Slices lie in the middle of the canvas; what is larger is cut to its middle. Each volume is
    scaled to mean 0 and deviation 1 (source, sister code); voxels keep their size (our choice).

    Args:
        archive: where they are.
        names: of the volumes.
        side_px: S, side of the canvas, a multiple of 16.

    Raises:
        DataError: there are none, or they are no slices of one channel.
        StoreError: there is no such archive or volume.
    """
    if side_px < 16 or side_px % 16:
        raise DataError(f"the side of the canvas must be a multiple of 16 px, got {side_px}")
    if not names:
        raise DataError(f"{archive} holds no volumes that could be read")
    opened, order = Archive.open(archive), sorted(names)
    read = [_read(opened[name], side_px) for name in order]
    counts = torch.tensor([len(one[2]) for one in read])
    images, masks, partition, extent = (
        torch.from_numpy(np.concatenate(parts)) for parts in zip(*read, strict=True)
    )
    volume = torch.repeat_interleave(torch.arange(len(order)), counts)
    return Slices(images[:, None], masks, partition, volume, extent, tuple(order))


_Read = tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]


def _read(store: PatchStore, side_px: int) -> _Read:
    pixels = _all(PatchReader(store))
    if pixels.ndim != 4 or pixels.shape[-1] != 1:
        raise DataError(f"{store.slide_id} is no volume of one channel, but {pixels.shape}")
    values = _standardised(pixels[..., 0], store.slide_id)
    found = read_partition(store)
    partition = np.full(len(values), -1) if found is None else found.astype(np.int64)
    masks = np.full(values.shape, OUTSIDE, np.uint8)
    if _has_masks(store):
        masks = _all(PatchReader(store, "masks")).astype(np.uint8)
    height, width = (min(side, side_px) for side in values.shape[1:])
    extent = np.tile(np.array([height, width], np.int64), (len(values), 1))
    return _centred(values, side_px, 0), _centred(masks, side_px, OUTSIDE), partition, extent


def _all(reader: PatchReader) -> NDArray[np.generic]:
    found: NDArray[np.generic] = reader.read(np.arange(len(reader)))
    reader.close()
    return found


def _has_masks(store: PatchStore) -> bool:
    try:
        store.document("masks")
    except FileNotFoundError:
        return False
    return True


def _standardised(values: NDArray[np.generic], name: str) -> NDArray[np.float32]:
    """Scale a volume to mean 0 and deviation 1; one that is all alike becomes 0."""
    wide = values.astype(np.float64)
    if not np.isfinite(wide).all():
        raise DataError(f"{name} holds values that are no numbers; mend the volume")
    spread = wide.std() or 1.0
    scaled: NDArray[np.float32] = ((wide - wide.mean()) / spread).astype(np.float32)
    return scaled


def _centred(values: NDArray[_T], side_px: int, fill: int) -> NDArray[_T]:
    """Put slices (n, H, W) in the middle of a canvas, cutting what is larger."""
    canvas = np.full((len(values), side_px, side_px), fill, values.dtype)
    theirs, ours = zip(*(_overlap(side, side_px) for side in values.shape[1:]), strict=True)
    canvas[:, ours[0], ours[1]] = values[:, theirs[0], theirs[1]]
    return canvas


def _overlap(length: int, side_px: int) -> tuple[slice, slice]:
    """Give the middle of a line, and its place in the middle of the canvas."""
    shared = min(length, side_px)
    theirs, ours = (length - shared) // 2, (side_px - shared) // 2
    return slice(theirs, theirs + shared), slice(ours, ours + shared)
