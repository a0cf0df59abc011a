"""A slide's group as an import writes it: what patches and volumes have in common.

Imported slides have no grid and no tissue detection; every patch counts as tissue.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tiling import zarrjson
from tiling.encoding import AnyPixels, Encoding
from tiling.labels import LABELS, PARTITION, Labels, partition_array
from tiling.prepare import THUMBNAIL
from tiling.preview import contact_sheet
from tiling.provenance import versions
from tiling.storage import Storage
from tiling.store import DOCUMENT, SlideWriter
from tiling.tiles import UNREADABLE
from wsi.errors import SlideError
from wsi.fingerprint import fingerprint

MASKS = "masks"
FILES = "files"

PICTURED = 48
"""Patches on the thumbnail, which is a sheet of some of them."""
COLUMNS = 8
CELL_PX = 96

MISSING_MASK = 255
"""What fills the mask of a patch that has none."""


class Stopped(Exception):
    """The run was asked to stop."""


@dataclass
class Place:
    """Where a slide is built, and what the run gives for it.

    Attributes:
        storage: of the archive; `prefix` is where the slide is prepared.
        pool: threads that read and decode; tasks given to it wait for nothing.
        advance: told patches and bytes that were written.
        stop: set when the run ends early.
    """

    storage: Storage
    prefix: str
    pool: Executor
    advance: Callable[[int, int], None] = lambda patches, size: None
    stop: threading.Event = field(default_factory=threading.Event)

    def writer(self) -> SlideWriter:
        """Begin the slide anew, with nothing written."""
        self.storage.delete(f"{self.prefix}/{DOCUMENT}")  # un-commits where built in place
        self.storage.delete(self.prefix)
        return SlideWriter(self.storage, self.prefix)

    def check(self) -> None:
        """Raise `Stopped` when the run ends."""
        if self.stop.is_set():
            raise Stopped


class Job(Protocol):
    """One slide to import."""

    @property
    def slide_id(self) -> str:
        """Name of its group."""

    @property
    def location(self) -> str:
        """Path that it comes from."""

    def __len__(self) -> int:
        """Number of patches."""

    def config_hash(self) -> str:
        """Hash what changes pixels, labels or attributes; 16 hex digits."""

    def fingerprint(self) -> dict[str, Any]:
        """Identify the source's bytes, as `wsi.fingerprint` does."""

    def build(self, place: Place) -> dict[str, Any]:
        """Write all but the slide's document, and give its attributes.

        Raises:
            TilingError: the slide cannot be imported.
        """


@dataclass(frozen=True)
class Known:
    """What is said of a slide."""

    slide_id: str
    patient: str = ""
    site: str = ""
    label: str = ""
    split: str = ""


@dataclass(frozen=True)
class Resolution:
    """Microns per pixel, x and y, or None where not known.

    Attributes:
        own: of the files; `effective` of what is stored.
        origin: where it is from; `unknown` where it is not known.
        footprint: width, height of a patch in pixels of the files.
    """

    own: tuple[float | None, float | None]
    effective: tuple[float | None, float | None]
    origin: str
    footprint: tuple[float, float]


def made_up_coords(count: int, width_px: int) -> NDArray[np.int32]:
    """Lay patches in a row, as nobody knows where they were: x, y `(N, 2)`."""
    coords = np.zeros((count, 2), np.int32)
    coords[:, 0] = np.arange(count) * width_px
    return coords


def put_sharded(
    writer: SlideWriter,
    name: str,
    chunks: Sequence[bytes],
    *,
    number: int,
    capacity: int,
    axes: int,
) -> int:
    """Write one shard of an array with so many axes; gives its bytes."""
    key = "/".join([name, "c", str(number), *("0" * (axes - 1))])
    return writer.put_shard(number, chunks, capacity, key)


def put_small(
    writer: SlideWriter,
    coords: NDArray[np.int32],
    status: NDArray[np.uint8],
    pictures: Sequence[NDArray[np.uint8]],
    files: Iterable[str],
    *,
    labels: Labels | None = None,
    partition: NDArray[np.integer] | None = None,
) -> None:
    """Write the arrays that are one chunk each.

    Args:
        writer: of the slide.
        coords: x, y `(N, 2)`.
        status: per patch `(N,)`.
        pictures: RGB `(P, P, 3)` for the thumbnail.
        files: names of the files that the patches are from, in order; stored as text, one a line.
        labels: of the patches.
        partition: of the patches `(N,)`.
    """
    sheet = _thumbnail(pictures)
    names = np.frombuffer("\n".join(files).encode(), np.uint8)
    arrays = {
        "coords": zarrjson.small_array(coords, "i4"),
        "tissue_fraction": zarrjson.small_array(np.ones(len(coords)), "f4"),
        "tissue_mask": zarrjson.small_array(np.ones(sheet.shape[:2]), "u1", compress=True),
        "thumbnail": zarrjson.image_array(sheet, THUMBNAIL),
        "status": zarrjson.small_array(status, "u1"),
        FILES: zarrjson.small_array(names, "u1", compress=True),
    }
    if labels is not None:
        arrays[LABELS] = labels.array()
    if partition is not None:
        arrays[PARTITION] = partition_array(partition)
    for name, array in arrays.items():
        writer.put_array(name, array)


def _thumbnail(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    columns = min(COLUMNS, max(1, len(pictures)))
    cells = [_square(picture) for picture in pictures]
    sheet: NDArray[np.uint8] = contact_sheet(cells, columns=columns, cell_px=CELL_PX)  # type: ignore[arg-type]  # any sequence
    return sheet


def _square(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Centre a picture on white, so that it keeps its shape in a square cell."""
    height, width = picture.shape[:2]
    side = max(height, width)
    if height == width:
        return picture
    square = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = picture
    return square


def attributes(
    known: Known,
    source: Mapping[str, Any],
    resolution: Resolution,
    encoding: Encoding,
    *,
    coords: NDArray[np.int32],
    status: NDArray[np.uint8],
    patches: tuple[tuple[int, ...], int],
) -> dict[str, Any]:
    """Give a slide's attributes, those of a cut slide where they mean something.

    Args:
        known: what is said of it.
        source: its fingerprint.
        resolution: of files and patches.
        encoding: of the patches.
        coords: x, y `(N, 2)`.
        status: per patch `(N,)`.
        patches: shape of one, `(H, W, C)`, and how many a shard holds.
    """
    (height, width, channels), capacity = patches
    side = height if height == width else None
    extent = _extent(coords, resolution.footprint)
    return {
        "slide_id": known.slide_id,
        "patient": known.patient,
        "site": known.site,
        "labels": {"label": known.label, "split": known.split},
        "source": dict(source),
        "reader": "import",
        "vendor": "imported",
        "levels": [{"width": extent[0], "height": extent[1], "downsample": 1.0}],
        "bounds": [0, 0, *extent],
        "mpp": {"x": resolution.own[0], "y": resolution.own[1], "origin": resolution.origin},
        "mpp_requested": None,
        "mpp_effective": list(resolution.effective),
        "objective": None,
        "icc": False,
        "level": 0,
        "reduction": [resolution.footprint[0] / width, resolution.footprint[1] / height],
        "patch_size_px": side,
        "patch_shape": [height, width, channels],
        "stride_px": side,
        "patch_size_level0": list(resolution.footprint),
        "stride_level0": list(resolution.footprint),
        "grid": None,
        "n_grid": len(coords),
        "min_tissue": 0.0,
        "tissue": {"method": "none"},
        "encoding": {name: getattr(encoding, name) for name in ("label", "codec", "reason")},
        "n_patches": len(coords),
        "n_unreadable": int((status == UNREADABLE).sum()),
        "n_retried": 0,
        "shard_patches": capacity,
        "versions": versions() | {"pillow": metadata.version("pillow")},
    }


def _extent(coords: NDArray[np.int32], footprint: tuple[float, float]) -> tuple[int, int]:
    """Give the width and height that hold all patches, in pixels of the files."""
    if len(coords) == 0:
        return 1, 1
    right, lower = coords.max(axis=0) + np.ceil(footprint)
    return int(right), int(lower)


def files_fingerprint(location: str, files: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Identify many files as one source; a missing file is part of it.

    Args:
        location: path that the user named.
        files: name and path of each, in a fixed order.

    Returns:
        As `wsi.fingerprint.fingerprint`: uri, size of all, latest mtime, quick hash.
    """
    digest = hashlib.sha256()
    size, mtime = 0, 0.0
    for name, path in files:
        try:
            found = fingerprint(path)
        except SlideError:
            found = {"size": 0, "mtime": 0.0, "quick_hash": "missing"}
        digest.update(f"{name}\0{found['size']}\0{found['quick_hash']}\n".encode())
        size, mtime = size + int(found["size"]), max(mtime, float(found["mtime"] or 0))
    uri = str(Path(location).absolute())
    return {"uri": uri, "size": size, "mtime": mtime, "quick_hash": digest.hexdigest()}


def hash_settings(settings: Mapping[str, Any]) -> str:
    """Hash JSON values; 16 hex digits."""
    canonical = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def as_picture(values: AnyPixels) -> NDArray[np.uint8]:
    """Show numbers `(H, W)` as grey RGB `(H, W, 3)`, from their least to their greatest."""
    finite = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    if not np.isfinite(finite).any():
        return np.full((*values.shape, 3), 255, np.uint8)
    low, high = float(np.nanmin(finite)), float(np.nanmax(finite))
    scaled = np.nan_to_num((finite - low) / ((high - low) or 1.0)) * 255
    return np.repeat(np.rint(scaled).astype(np.uint8)[..., None], 3, axis=2)
