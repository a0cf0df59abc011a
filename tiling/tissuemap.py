"""Tissue maps: which class every pixel of a slide has, how probable it is, and how sure that is.

A map is `maps/<name>` with three arrays: `probabilities` u1 `(C, h, w)` from 0 to 255, `classes` u1
`(h, w)` and `entropy` u1 `(h, w)`. Here is what they mean and how they are read in bands;
`tiling.mapwriter` writes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tiling.errors import CorruptStoreError, PlanError, StoreError
from tiling.maps import SlideMap
from tiling.store import PatchStore
from tiling.windows import MapFrame
from wsi.geometry import Mpp

Bytes = NDArray[np.uint8]

KIND = "tissue"
NO_CLASS = 255
"""Class of pixels without tissue, or of which nothing is known."""
PROBABILITIES, CLASSES, ENTROPY = "probabilities", "classes", "entropy"
BAND_VALUES = 8 << 20
"""Pixels of a band that is read at a time: memory is bounded whatever the slide's size."""


@dataclass(frozen=True)
class Legend:
    """Names and colours of the classes, in the order of their numbers.

    Attributes:
        names: C of them, all different.
        colours: red, green, blue of each, 0 to 255.

    Raises:
        PlanError: names and colours do not fit each other, or there are too many.
    """

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        """Check the classes."""
        if not 0 < len(self.names) < NO_CLASS:
            raise PlanError(f"a map has 1 to {NO_CLASS - 1} classes, got {len(self.names)}")
        if len(set(self.names)) < len(self.names) or not all(self.names):
            raise PlanError(f"classes need different names, got {', '.join(map(repr, self.names))}")
        if len(self.colours) != len(self.names):
            raise PlanError(f"{len(self.names)} classes need a colour each, got {self.colours}")
        for colour in self.colours:
            if len(colour) != 3 or not all(0 <= value <= 255 for value in colour):
                raise PlanError(f"a colour is red, green, blue from 0 to 255, got {colour}")

    def palette(self, other: tuple[int, int, int] = (255, 255, 255)) -> Bytes:
        """Colours by class number, `(256, 3)`; `other` where there is no class."""
        table = np.empty((256, 3), np.uint8)
        table[:] = other
        table[: len(self.colours)] = self.colours
        return table


class ClassMap(Protocol):
    """What exports need of a map, stored or not."""

    @property
    def legend(self) -> Legend:
        """Its classes."""

    @property
    def frame(self) -> MapFrame:
        """Where it lies on the slide."""

    def read_rows(self, array: str, start: int, stop: int) -> Bytes:
        """Read rows of `classes` or `entropy`, `(stop - start, w)`."""


@dataclass(frozen=True)
class ArrayMap:
    """A map in memory.

    Attributes:
        classes: `(h, w)`, class numbers, `NO_CLASS` where there is none.
        entropy: `(h, w)`, 0 to 255.

    Raises:
        PlanError: the arrays do not fit the frame or the legend.
    """

    legend: Legend
    frame: MapFrame
    classes: Bytes
    entropy: Bytes

    def __post_init__(self) -> None:
        """Check shapes and class numbers."""
        shape = self.frame.height_px, self.frame.width_px
        for values in (self.classes, self.entropy):
            if values.shape != shape or values.dtype != np.uint8:
                raise PlanError(f"a map of {shape} has an array {values.shape} {values.dtype}")
        known = self.classes[self.classes != NO_CLASS]
        if known.size and known.max() >= len(self.legend.names):
            raise PlanError(f"class {known.max()} has no name; there are {len(self.legend.names)}")

    def read_rows(self, array: str, start: int, stop: int) -> Bytes:
        """See `ClassMap.read_rows`."""
        rows: Bytes = getattr(self, array)[start:stop]
        return rows


class TissueMap(SlideMap):
    """A committed tissue map of one slide.

    Attributes:
        legend: its classes.
        frame: where it lies on the slide.

    Raises:
        StoreError: there is none of that name, or it is no tissue map.
        CorruptStoreError: what is stored is not what was written.
    """

    def __init__(self, store: PatchStore, name: str) -> None:
        super().__init__(store, name)
        kind = self.attributes.get("kind")
        if kind != KIND:
            raise StoreError(f"the map {name!r} is no tissue map, its kind is {kind!r}")
        try:
            self.legend, self.frame = read_attributes(self.attributes)
        except (KeyError, TypeError, ValueError) as err:
            raise CorruptStoreError(f"the map {name!r} is damaged: {err!r}") from err

    def read_rows(self, array: str, start: int, stop: int) -> Bytes:
        """See `ClassMap.read_rows`."""
        return self.read(array, [slice(start, stop)])


def describe(legend: Legend, frame: MapFrame) -> dict[str, Any]:
    """Give legend and frame as the attributes of a map."""
    return {
        "classes": [
            {"name": name, "colour": list(colour)}
            for name, colour in zip(legend.names, legend.colours, strict=True)
        ],
        "no_class": NO_CLASS,
        "shape": [frame.height_px, frame.width_px],
        "mpp": [frame.mpp.x, frame.mpp.y],
        "level0_origin": [frame.level0_x, frame.level0_y],
        "level0_step": [frame.level0_step_x, frame.level0_step_y],
    }


def read_attributes(attributes: dict[str, Any]) -> tuple[Legend, MapFrame]:
    """Read legend and frame from the attributes of a map."""
    classes = attributes["classes"]
    names = tuple(str(one["name"]) for one in classes)
    legend = Legend(names, tuple(tuple(one["colour"]) for one in classes))
    height, width = attributes["shape"]
    x, y = attributes["level0_origin"]
    step_x, step_y = attributes["level0_step"]
    return legend, MapFrame(height, width, x, y, step_x, step_y, Mpp(*attributes["mpp"]))


def bands(source: ClassMap, array: str = CLASSES, rows_px: int | None = None) -> Iterator[Bytes]:
    """Read an array from top to bottom in bands `(n, w)`; of so many rows, the last one of fewer.

    Without `rows_px` a band has about `BAND_VALUES` pixels.
    """
    height = source.frame.height_px
    step = rows_px or max(1, BAND_VALUES // source.frame.width_px)
    for start in range(0, height, step):
        yield source.read_rows(array, start, min(start + step, height))
