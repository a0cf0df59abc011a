"""The tiled images of a TIFF file: where their tiles are and how they are compressed.

tifffile reads the directories only, no pixel.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wsi.geometry import Size
from wsi.native.base import Grid
from wsi.native.source import is_url

if TYPE_CHECKING:
    from tifffile import TiffFile

JPEG, APERIO_YCC, APERIO_RGB, JPEG2K = 7, 33003, 33005, 34712
GREY, RGB, YCBCR = 1, 2, 6
DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    struct.error,
)
"""What tifffile raises for damaged directories."""


@dataclass(frozen=True, slots=True)
class Directory:
    """One tiled image; `size` may be padded, `offsets` and `counts` are (rows, columns)."""

    size: Size
    tile: Size
    offsets: Grid
    counts: Grid
    compression: int
    photometric: int
    samples: int
    tables: bytes


@dataclass(frozen=True, slots=True)
class TiffIndex:
    """The tiled images of a file that are compressed in a way that can be copied."""

    is_philips: bool
    directories: tuple[Directory, ...]

    def find(self, level: int, size: Size) -> Directory | None:
        """Find a level by its size; a Philips level is shown smaller than it is stored."""
        same = [found for found in self.directories if found.size == size]
        if len(same) == 1:
            return same[0]
        if self.is_philips and not same and level < len(self.directories):
            stored = self.directories[level]
            covers = stored.size.width >= size.width and stored.size.height >= size.height
            return stored if covers else None
        return None  # none, or several focal planes or channels of one size


def read_index(location: str) -> TiffIndex:
    """Parse a file's directories; what it raises is in DAMAGE."""
    import tifffile

    if not is_url(location):
        with tifffile.TiffFile(location) as tif:
            return _index_of(tif)
    import fsspec

    with fsspec.open(location, "rb") as remote, tifffile.TiffFile(remote) as tif:
        return _index_of(tif)


def _index_of(tif: "TiffFile") -> TiffIndex:
    # NDPI has strips made to look like tiles; in BIF and SCN tiles are placed by other rules.
    if tif.is_ndpi or tif.is_bif or tif.is_scn:
        return TiffIndex(is_philips=False, directories=())
    pages = list(_iter_pages(tif))
    found = tuple(directory for page in pages if (directory := _directory_of(page)))
    is_philips = bool(pages) and str(_tag(pages[0], 305, "")).startswith("Philips")
    return TiffIndex(is_philips, found)


def _iter_pages(tif: "TiffFile") -> Iterator[Any]:
    """Yield the main directories and, where one has them (OME-TIFF), its reduced ones."""
    for page in tif.pages:
        whole: Any = page.aspage()
        yield whole
        if whole.subifds:
            yield from (part.aspage() for part in whole.pages)


def _tag(page: Any, code: int, default: Any) -> Any:
    tag = page.tags.get(code)
    return default if tag is None else tag.value


def _directory_of(page: Any) -> Directory | None:
    """Take a page's facts, None where its tiles cannot be copied."""
    return _gridded(page) if _is_tiled(page) and _is_plain(page) else None


def _is_tiled(page: Any) -> bool:
    """Whether it has TileWidth, TileLength, TileOffsets and TileByteCounts."""
    return all(page.tags.get(code) is not None for code in (322, 323, 324, 325))


def _is_plain(page: Any) -> bool:
    """Whether it is grey, RGB or YCbCr of 8 bits, interleaved, flat, and compressed as we know."""
    kind = (int(_tag(page, 277, 1)), int(_tag(page, 262, RGB)))
    return (
        int(_tag(page, 259, 1)) in (JPEG, APERIO_YCC, APERIO_RGB, JPEG2K)
        and kind in ((1, GREY), (3, RGB), (3, YCBCR))
        and bool((np.atleast_1d(_tag(page, 258, 1)) == 8).all())
        and int(_tag(page, 284, 1)) == 1
        and int(_tag(page, 32997, 1)) == 1
    )


def _gridded(page: Any) -> Directory | None:
    """Bring offsets and byte counts into rows and columns, None where they do not fill the grid."""
    size = Size(int(_tag(page, 256, 0)), int(_tag(page, 257, 0)))
    tile = Size(int(_tag(page, 322, 0)), int(_tag(page, 323, 0)))
    if not (size.area and tile.area):
        return None
    shape = (-(-size.height // tile.height), -(-size.width // tile.width))
    offsets = np.atleast_1d(np.asarray(_tag(page, 324, ()), dtype=np.int64))
    counts = np.atleast_1d(np.asarray(_tag(page, 325, ()), dtype=np.int64))
    if not len(offsets) == len(counts) == shape[0] * shape[1]:
        return None
    return Directory(
        size=size,
        tile=tile,
        offsets=offsets.reshape(shape),
        counts=counts.reshape(shape),
        compression=int(_tag(page, 259, 1)),
        photometric=int(_tag(page, 262, RGB)),
        samples=int(_tag(page, 277, 1)),
        tables=bytes(_tag(page, 347, b"")),
    )
