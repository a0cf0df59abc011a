"""Tissue masks that are given: a picture of any resolution, or GeoJSON polygons.

Both are brought to the grid of the thumbnail; nothing is detected here.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from tiling.errors import PlanError

if TYPE_CHECKING:
    import tifffile

MASK_EXTENSIONS = (".tif", ".tiff", ".png")
GEOJSON_EXTENSIONS = (".geojson", ".json")

MAX_ASPECT_ERROR = 0.05
"""How far a mask's aspect may be from its slide's: padded pyramids are near, others are wrong."""

Mask = NDArray[np.bool_]
Ring = NDArray[np.float64]
"""Corners x, y of a closed line, (K, 2)."""


def find_mask_file(path: str, slide_id: str | None, extensions: tuple[str, ...]) -> Path:
    """Return the file that `path` names, or <slide_id>.<ext> in the folder that it names."""
    place = Path(path).expanduser()
    if not place.is_dir():
        if not place.exists():
            raise PlanError(f"no such mask: {place}")
        return place
    found = [f for f in (place / f"{slide_id}{e}" for e in extensions) if f.exists()]
    if not found:
        raise PlanError(
            f"no mask for slide {slide_id} in {place}: looked for {slide_id} with "
            f"one of {', '.join(extensions)}"
        )
    return found[0]


def read_mask(file: Path, shape: tuple[int, int], slide_size: tuple[int, int]) -> Mask:
    """Read a mask picture and sample it at the pixel centres of the thumbnail.

    Args:
        file: TIFF (any pyramid; the coarsest level that is no coarser than the thumbnail is read,
            tile by tile) or PNG; non-zero in any channel but alpha is tissue.
        shape: rows, columns of the thumbnail.
        slide_size: width, height of level 0, which the mask must cover.
    """
    reader = _read_tiff if file.suffix.lower() in (".tif", ".tiff") else _read_picture
    try:
        return reader(file, shape, slide_size)
    except PlanError:
        raise
    except (OSError, ValueError, SyntaxError, RuntimeError, IndexError, KeyError) as err:
        raise PlanError(f"cannot read the mask {file}: {err}") from err


def read_geojson(
    file: Path, shape: tuple[int, int], slide_size: tuple[int, int]
) -> tuple[Mask, dict[str, int]]:
    """Fill the polygons of a GeoJSON file; coordinates are level-0 px, holes are honoured.

    Takes a FeatureCollection, a Feature, a geometry, or a list of them; Polygon, MultiPolygon and
    GeometryCollection. Points and lines have no area: they are counted and left out.

    Returns:
        The mask (h, w), and how many polygons were filled and geometries left out.
    """
    try:
        content = json.loads(file.read_text("utf-8-sig"))
        polygons, ignored = _polygons(content)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as err:
        raise PlanError(f"cannot read the GeoJSON {file}: {err}") from err
    scale = np.array([shape[1] / slide_size[0], shape[0] / slide_size[1]])
    mask = np.zeros(shape, np.bool_)
    for rings in polygons:
        mask |= fill_rings([ring * scale for ring in rings], shape)
    return mask, {"polygons": len(polygons), "geometries_ignored": ignored}


def fill_rings(rings: list[Ring], shape: tuple[int, int]) -> Mask:
    """Tell which pixel centres lie inside one polygon by the even-odd rule, (h, w).

    Args:
        rings: outline and holes in pixels of the grid, the first pixel's corner at (0, 0).
        shape: rows, columns of the grid.
    """
    height, width = shape
    starts = np.concatenate(rings)
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    upper = np.where((starts[:, 1] <= ends[:, 1])[:, None], starts, ends)
    lower = np.where((starts[:, 1] <= ends[:, 1])[:, None], ends, starts)
    first = np.clip(np.ceil(upper[:, 1] - 0.5), 0, height).astype(np.intp)
    last = np.clip(np.ceil(lower[:, 1] - 0.5), 0, height).astype(np.intp)  # exclusive
    counts = last - first
    edge = np.repeat(np.arange(len(counts)), counts)
    row = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts) + first[edge]
    run, rise = (lower - upper)[edge].T
    crossing = upper[edge, 0] + (row + 0.5 - upper[edge, 1]) * run / rise
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.intp)
    toggles = np.bincount(row * (width + 1) + column, minlength=height * (width + 1))
    parity = np.cumsum(toggles.reshape(height, width + 1), axis=1) & 1
    return np.asarray(parity[:, :width], np.bool_)


def _polygons(content: Any) -> tuple[list[list[Ring]], int]:
    """Return the rings of every polygon and the number of geometries without area."""
    polygons: list[list[Ring]] = []
    ignored = 0
    for geometry in _geometries(content):
        kind = geometry["type"]
        if kind == "Polygon":
            polygons.append(_rings(geometry["coordinates"]))
        elif kind == "MultiPolygon":
            polygons += [_rings(part) for part in geometry["coordinates"]]
        elif kind in ("Point", "MultiPoint", "LineString", "MultiLineString"):
            ignored += 1
        else:
            raise ValueError(f"unknown geometry type {kind!r}")
    return [rings for rings in polygons if rings], ignored


def _geometries(content: Any) -> Iterator[dict[str, Any]]:
    """Yield the bare geometries of whatever GeoJSON, or a list of it, holds."""
    if isinstance(content, list):
        parts = content
    elif content["type"] == "FeatureCollection":
        parts = content["features"]
    elif content["type"] == "GeometryCollection":
        parts = content["geometries"]
    elif content["type"] == "Feature":
        parts = [] if content["geometry"] is None else [content["geometry"]]
    else:
        yield content
        return
    for part in parts:
        yield from _geometries(part)


def _rings(coordinates: Any) -> list[Ring]:
    rings = [np.asarray(ring, np.float64)[:, :2] for ring in coordinates]
    for ring in rings:
        if not np.isfinite(ring).all():
            raise ValueError("a coordinate is not a finite number")
    return rings


def _centres(count: int, size: int) -> NDArray[np.intp]:
    """Return the index in `size` pixels under the centre of each of `count` equal parts."""
    return np.minimum((np.arange(count) + 0.5) * size / count, size - 1).astype(np.intp)


def _check_aspect(file: Path, width: int, height: int, slide_size: tuple[int, int]) -> None:
    expected = height * slide_size[0] / slide_size[1]
    if abs(width - expected) > max(1.5, MAX_ASPECT_ERROR * expected):
        slide = f"{slide_size[0]} x {slide_size[1]}"
        raise PlanError(
            f"the mask {file} is {width} x {height} px, not the shape of a slide of {slide} px"
        )


def _read_picture(file: Path, shape: tuple[int, int], slide_size: tuple[int, int]) -> Mask:
    import warnings

    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(file, formats=("PNG",)) as picture:
                _check_aspect(file, picture.width, picture.height, slide_size)
                pixels = np.asarray(picture)
        except Image.DecompressionBombError as err:
            raise PlanError(f"the mask {file} is too large for a PNG; save a tiled TIFF") from err
    rows, columns = _centres(shape[0], pixels.shape[0]), _centres(shape[1], pixels.shape[1])
    return _any_channel(pixels[np.ix_(rows, columns)])


def _any_channel(pixels: NDArray[Any]) -> Mask:
    """Return non-zero pixels; an alpha channel (the second or fourth) says nothing."""
    if pixels.ndim == 2:
        return np.asarray(pixels != 0)
    colours = pixels.shape[2] - (pixels.shape[2] in (2, 4))
    return np.asarray((pixels[..., :colours] != 0).any(axis=2))


def _read_tiff(file: Path, shape: tuple[int, int], slide_size: tuple[int, int]) -> Mask:
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        levels = [cast("tifffile.TiffPage", level.pages[0]) for level in tiff.series[0].levels]
        base = levels[0]
        _check_aspect(file, base.imagewidth, base.imagelength, slide_size)
        fine = [page for page in levels if page.imagelength >= shape[0]]
        page = (fine or levels)[-1 if fine else 0]
        rows = _centres(shape[0], page.imagelength)
        columns = _centres(shape[1], page.imagewidth)
        mask = np.zeros(shape, np.bool_)
        for block, index, _ in page.segments(maxworkers=1):
            if block is not None:
                _paste(mask, block, (index[2], index[3]), rows, columns)
    return mask


def _paste(
    mask: Mask,
    block: NDArray[Any],
    corner: tuple[int, int],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> None:
    """Sample one decoded tile (1, h, w, c) into the part of the mask that lies under it."""
    top, left = corner
    r0, r1 = np.searchsorted(rows, (top, top + block.shape[1]))
    c0, c1 = np.searchsorted(columns, (left, left + block.shape[2]))
    if r0 < r1 and c0 < c1:
        sampled = block[0][np.ix_(rows[r0:r1] - top, columns[c0:c1] - left)]
        mask[r0:r1, c0:c1] |= _any_channel(sampled)
