"""A feature file in HDF5 that is sent while it is made: its numbers lie in one place, untouched.

The library lays the file out with everything but the embeddings; those are put in while the file
passes. So any part of it can be had at once, and none of it takes room.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.bags.bag import Bag
from models.errors import BagError
from service.content.sending import begun

if TYPE_CHECKING:
    import h5py

FEATURES, COORDS = "features", "coords"


@dataclass(frozen=True)
class FeatureFile:
    """The file as it will be.

    Attributes:
        bag: gives the embeddings.
        dtype: of them in the file.
        step: rows that are read at a time.
        outline: the file without them, which has holes in their place.
        start: where they begin.
    """

    bag: Bag
    dtype: np.dtype[Any]
    step: int
    outline: Path
    start: int

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return max(self.outline.stat().st_size, self.start + len(self.bag) * self._row_bytes)

    @property
    def _row_bytes(self) -> int:
        return self.bag.dim * self.dtype.itemsize

    def read(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        """Give the bytes from one offset to another."""
        end = self.start + len(self.bag) * self._row_bytes
        first, last = max(start, self.start) - self.start, min(stop, end) - self.start
        numbers = begun(self._numbers(first, last))  # what is damaged is told before anything
        yield from self._around(start, min(stop, self.start))
        yield from numbers
        yield from self._around(max(start, end), stop)

    def _around(self, start: int, stop: int) -> Iterator[bytes]:
        if start < stop:
            with self.outline.open("rb") as file:
                file.seek(start)
                data = file.read(stop - start)
            yield data

    def _numbers(self, start: int, stop: int) -> Iterator[memoryview]:
        row, width = start // self._row_bytes, self._row_bytes
        while start < stop:
            last = min(row - row % self.step + self.step, len(self.bag))
            values = np.ascontiguousarray(self.bag.read(row, last, self.dtype))
            data = values.reshape(-1).view(np.uint8).data
            yield data[start - row * width : stop - row * width]
            row, start = last, last * width


def write_outline(bag: Bag, dtype: np.dtype[Any], path: Path) -> None:
    """Lay out the file of a slide, FORMATS 3.2: all but the embeddings."""
    import h5py

    about = _attributes(bag)
    with h5py.File(path, "w") as file:
        features = _laid_out(file, FEATURES, (len(bag), bag.dim), dtype)
        _describe(features, {"name": bag.name, "encoder": bag.encoder_id, "savetodir": "features"})
        coords = _laid_out(file, COORDS, (len(bag), 2), np.dtype(np.int64))
        _describe(coords, about | {"savetodir": "features"})
        if len(bag):
            coords[:] = bag.coords


def open_outline(bag: Bag, dtype: np.dtype[Any], step: int, path: Path) -> FeatureFile:
    """Find the place of the embeddings in an outline; they are read in steps of so many rows."""
    import h5py

    with h5py.File(path, "r") as file:
        start = file[FEATURES].id.get_offset()
    place = path.stat().st_size if start is None else int(start)
    return FeatureFile(bag, dtype, step, path, place)


def _attributes(bag: Bag) -> dict[str, Any]:
    """Say what a patch covers at level 0; less where nobody knows the resolution."""
    from models.bags.trident import footprint

    try:
        return footprint(bag)
    except BagError:
        side = round(bag.level0_side)
        return {"patch_size": bag.patch_px, "patch_size_level0": side, "name": bag.name}


def _describe(dataset: "h5py.Dataset", known: Mapping[str, Any]) -> None:
    for name, value in known.items():
        dataset.attrs[name] = value


def _laid_out(
    file: "h5py.File", name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> "h5py.Dataset":
    """Make a dataset in one piece whose place is fixed, without times."""
    import h5py

    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)
    space = h5py.h5s.create_simple(shape)
    kind = h5py.h5t.py_create(dtype.newbyteorder("<"))
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space, layout))
