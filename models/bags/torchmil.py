"""torchmil: features, labels, inst_labels and coords, one file per bag each.

Its dataset links patches whose coordinates are at most 1.5 apart, so coordinates are grid indices
(col, row): level-0 pixels give a graph without edges, and no warning. A slide without patches has
no file: the loader takes it, but the attention over an empty bag is NaN.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bags.bag import Bag, Rows
from models.bags.npy import open_npy, write_npy
from models.bags.sink import Sink
from models.bags.table import STORED, Cohort, ForeignBag
from models.errors import BagError

DTYPES = ("float32", "float16", STORED)
CSV_IDS = False

CLASSES = "classes.json"
"""Which number stands for which label of a slide."""


class Layout(ABC):
    """How the arrays of a bag become files; a folder's name is also the name of its array.

    Attributes:
        extension: of the files; torchmil wants to be told.
    """

    extension: str

    @abstractmethod
    def put_features(self, sink: Sink, name: str, bag: Bag, dtype: np.dtype[Any]) -> None:
        """Write all rows of a bag as the file `name`, in blocks."""

    @abstractmethod
    def put_array(self, path: Path, name: str, values: NDArray[Any]) -> None:
        """Write a small array."""

    @abstractmethod
    def describe(self, path: Path, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Give shape and dtype of an array."""

    @abstractmethod
    def take(self, path: Path, name: str, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Read the rows at ascending indices."""

    def write(self, bag: Bag, sink: Sink, dtype: np.dtype[Any]) -> None:
        """Write what is known of one slide by itself; its label waits for `finish`."""
        if not len(bag):
            return
        self.put_features(sink, self.path("features", bag.name), bag, dtype)
        self.put(sink, "coords", bag.name, grid_coords(bag))
        if bag.labels is not None:
            self.put(sink, "inst_labels", bag.name, bag.labels.values.astype(np.int64))
        sink.notes["inst_labels"] = bag.labels is not None

    def finish(self, cohort: Cohort, sink: Sink) -> None:
        """Number the labels of the slides, and write them."""
        slides = [facts for facts in cohort.slides if facts.count]
        numbers = number_labels(facts.label for facts in slides)
        for facts in slides:
            if facts.label:
                values = np.array([numbers[facts.label]], np.int64)
                self.put(sink, "labels", facts.name, values)
        if numbers:
            sink.text(CLASSES, json.dumps(numbers, indent=1) + "\n")
        _warn(sink, "label", [facts.name for facts in slides if not facts.label], len(slides))
        bare = [facts.name for facts in slides if not facts.notes.get("inst_labels")]
        _warn(sink, "patch labels", bare, len(slides))

    def read(self, folder: Path) -> Iterator[ForeignBag]:
        """Read every bag that has coordinates.

        Raises:
            BagError: there is none, or a file is not as the format says.
        """
        found = sorted(folder.glob(f"features/*{self.extension}"))
        if not found:
            raise BagError(f"{folder} holds no features/*{self.extension}: nothing of torchmil's")
        return (self._bag(folder, path) for path in found)

    def put(self, sink: Sink, kind: str, name: str, values: NDArray[Any]) -> None:
        """Write a small array."""
        with sink.file(self.path(kind, name)) as path:
            self.put_array(path, kind, values)

    def path(self, kind: str, name: str) -> str:
        """Path of a file below the export folder."""
        return f"{kind}/{name}{self.extension}"

    def _bag(self, folder: Path, path: Path) -> ForeignBag:
        where = folder / self.path("coords", path.stem)
        (shape, dtype), (where_shape, _) = (
            self.describe(path, "features"),
            self.describe(where, "coords"),
        )
        if len(shape) != 2 or where_shape != (shape[0], 2):
            raise BagError(
                f"{path} has features {shape} and {where} coordinates {where_shape}; "
                "a bag of torchmil has (n, D) and (n, 2)"
            )
        positions = self.take(where, "coords", np.arange(shape[0]))

        def take(indices: NDArray[np.int64]) -> Rows:
            return self.take(path, "features", indices)

        return ForeignBag(path.stem, positions, "grid", shape[1], dtype, take)


def grid_coords(bag: Bag) -> NDArray[np.int64]:
    """Grid indices `(n, 2)` as col, row, counted in strides: neighbours are 1 or sqrt(2) apart."""
    return np.ascontiguousarray(bag.row_col[:, ::-1], np.int64)


def number_labels(labels: Iterable[str]) -> dict[str, int]:
    """Number the labels of slides: whole numbers stay as they are, names count in their order."""
    names = sorted({label for label in labels if label})
    if all(name.isdecimal() and name.isascii() for name in names):
        return {name: int(name) for name in sorted(names, key=int)}
    return {name: number for number, name in enumerate(names)}


def _warn(sink: Sink, what: str, bare: list[str], total: int) -> None:
    if 0 < len(bare) < total:
        sink.warn(
            f"{len(bare)} of {total} slides have no {what}, such as {bare[0]}; torchmil fails on "
            "them, so name the others with bag_names"
        )


class _Npy(Layout):
    extension = ".npy"

    def put_features(self, sink: Sink, name: str, bag: Bag, dtype: np.dtype[Any]) -> None:
        with sink.stream(name) as file:
            write_npy(file, bag.blocks(dtype=dtype), (len(bag), bag.dim), dtype)

    def put_array(self, path: Path, name: str, values: NDArray[Any]) -> None:
        del name  # a .npy file names nothing
        with path.open("wb") as file:
            np.save(file, values, allow_pickle=False)

    def describe(self, path: Path, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        del name
        found = open_npy(path)
        return found.shape, found.dtype

    def take(self, path: Path, name: str, indices: NDArray[np.int64]) -> NDArray[Any]:
        del name
        return np.asarray(open_npy(path)[indices])


_LAYOUT = _Npy()
write, finish, read = _LAYOUT.write, _LAYOUT.finish, _LAYOUT.read
