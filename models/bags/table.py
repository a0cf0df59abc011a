"""The table of formats, and what a module of one has. Another format is one more entry."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from models.bags.bag import Bag, Rows
from models.bags.sink import Sink
from models.encoders.card import EncoderCard
from models.errors import BagError

STORED = "stored"
"""Name of a dtype: the one of the archive."""

Frame = Literal["corner", "centre", "um", "grid"]
"""What positions of another tool mean: the patch's corner or centre in level-0 pixels (x, y), its
corner in microns (x, y), or grid indices (col, row) counted in strides."""


@dataclass(frozen=True, slots=True)
class SlideFacts:
    """What files about the whole cohort say of one slide.

    Attributes:
        slide_id: the archive's ID.
        name: the ID that consumers get, which is the stem of files.
        count: rows that were written; 0 for an empty slide.
        notes: what `write` put into `Sink.notes`.
    """

    slide_id: str
    name: str
    patient: str
    site: str
    label: str
    split: str
    count: int
    patch_px: int
    mpp_effective: tuple[float, float] | None
    source: str
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cohort:
    """All slides of an export folder, by ID, and what they share."""

    slides: tuple[SlideFacts, ...]
    card: EncoderCard
    encoder_id: str
    dim: int
    dtype: str


@dataclass(frozen=True)
class ForeignBag:
    """A bag that another tool could have written, for import.

    Attributes:
        name: the consumer's ID of the slide.
        positions: `(n, 2)` in the frame that `frame` says.
        take: reads rows: ascending indices `(k,)` -> `(k, D)`.
    """

    name: str
    positions: NDArray[Any]
    frame: Frame
    dim: int
    dtype: np.dtype[Any]
    take: Callable[[NDArray[np.int64]], Rows]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.positions)


class Format(Protocol):
    """What the module of a format has.

    Attributes:
        DTYPES: what the consumer reads: float32, float16, or `stored`; the first is the default.
        CSV_IDS: IDs pass through a CSV, where "0012" becomes 12.
    """

    DTYPES: Sequence[str]
    CSV_IDS: bool

    def write(self, bag: Bag, sink: Sink, dtype: np.dtype[Any]) -> None:
        """Write one slide; may be called in several processes at once, also for n = 0."""

    def finish(self, cohort: Cohort, sink: Sink) -> None:
        """Write the files about all slides, after the last of them."""

    def read(self, folder: Path) -> Iterator[ForeignBag]:
        """Read every bag of a folder that this module or the consumer wrote.

        Raises:
            BagError: the folder holds none, or a file is not as the format says.
        """


FORMATS = {
    "clam": "models.bags.clam",
    "trident": "models.bags.trident",
    "stamp": "models.bags.stamp",
    "torchmil": "models.bags.torchmil",
    "torchmil-h5": "models.bags.torchmil_h5",
    "spatialdata": "models.bags.spatialdata",
    "spatialdata-zip": "models.bags.spatialdata_zip",
    "slideflow": "models.bags.slideflow",
    "slide2vec": "models.bags.slide2vec",
    "parquet": "models.bags.parquet",
}


def open_format(name: str) -> Format:
    """Import the module of a format.

    Raises:
        BagError: there is no such format.
    """
    if name not in FORMATS:
        raise BagError(f"no format {name!r}; there are: {', '.join(FORMATS)}")
    return cast(Format, import_module(FORMATS[name]))


def choose_dtype(name: str, module: Format, stored: np.dtype[Any], asked: str | None) -> str:
    """Choose between what is asked for, what is stored and what the consumer reads.

    Raises:
        BagError: the consumer does not read what is asked for.
    """
    allowed = [stored.name if known == STORED else known for known in module.DTYPES]
    if asked is None:
        return allowed[0]
    if asked not in allowed:
        raise BagError(f"{name} reads {' or '.join(dict.fromkeys(allowed))}, not {asked}")
    return asked
