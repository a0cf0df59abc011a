"""Where a slide holds tissue: one mask on the grid of its thumbnail, by the method asked for.

Takes arrays, opens no slide. What was decided and every threshold is in `TissueMask.parameters`.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tiling import masks, quality, thresholds
from tiling.errors import PlanError

Method = Literal["otsu", "hsv", "mask", "geojson", "none"]

WORK_UM = 4.0
"""Detection works no finer than this: a cell is three pixels wide."""

PEN_UM = 30.0
"""Pen is looked for no finer than this: a stroke is ten pixels wide."""

WORK_PX = 1536
"""Longest side of the picture that is worked on: a larger thumbnail is halved, for speed."""

SHARE_WITHOUT_MPP = 1e-4
"""Smallest object and hole, as a share of the picture, where no resolution is known."""


@dataclass(frozen=True, slots=True)
class TissueOptions:
    """How tissue is found."""

    method: Method = "otsu"
    """otsu on saturation; hsv band; mask or geojson file; none takes everything for tissue."""
    path: str | None = None
    """Mask or GeoJSON file, or the folder of <slide_id>.tif/.tiff/.png or .geojson/.json files."""
    thumbnail_px: int = 2048
    """Longest side of the thumbnail; finer finds smaller gaps and costs time."""
    min_object_um2: float = 10_000.0
    """Smaller pieces are dropped: dust and debris; a needle core's fragment is larger."""
    max_hole_um2: float = 10_000.0
    """Smaller holes are filled: small lumina, and fat cells, which are 100 um wide."""
    exclude_pen: bool = True
    """Leave out marker pen strokes (brightfield only)."""
    exclude_blank: bool = True
    """Leave out what was not scanned: exact white or exact black padding (brightfield only)."""
    hsv_hue: tuple[float, float] = (180.0, 360.0)
    """Hue band in degrees, cyan over blue and purple to red; low > high wraps. For method hsv."""
    hsv_saturation: tuple[float, float] = (0.05, 1.0)
    """Saturation band in [0, 1]; glass is below 0.05. For method hsv."""
    hsv_value: tuple[float, float] = (0.15, 1.0)
    """Value band in [0, 1]; black ink is below. For method hsv."""

    def __post_init__(self) -> None:
        """Check what one field can say about itself."""
        if self.method in ("mask", "geojson") and not self.path:
            raise PlanError(f"tissue method {self.method} needs a path to a file or folder")
        if self.thumbnail_px < 1:
            raise PlanError(f"thumbnail_px must be positive, got {self.thumbnail_px}")
        for name in ("min_object_um2", "max_hole_um2"):
            if not getattr(self, name) >= 0:
                raise PlanError(f"{name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class TissueMask:
    """Tissue on the grid of the thumbnail, and how it was found."""

    mask: NDArray[np.bool_]
    """True where there is tissue, (h, w)."""
    parameters: dict[str, Any]
    """Method, branch, thresholds, sizes; JSON-able, recorded in the archive."""

    @property
    def fraction(self) -> float:
        """Share of the slide that is tissue, in [0, 1]."""
        return float(self.mask.mean())

    @property
    def is_empty(self) -> bool:
        """Whether no tissue was found."""
        return not self.mask.any()


def detect_tissue(
    thumbnail: NDArray[np.uint8],
    options: TissueOptions,
    *,
    slide_size: tuple[int, int],
    mpp: float | None = None,
    slide_id: str | None = None,
) -> TissueMask:
    """Find the tissue of one slide.

    Args:
        thumbnail: the whole slide, RGB, (h, w, 3).
        options: method and limits.
        slide_size: width, height of level 0; given masks must have its shape.
        mpp: microns per pixel of level 0; without it sizes are shares of the picture, and no pen
            is looked for.
        slide_id: names the file where `options.path` is a folder.

    Raises:
        PlanError: the given mask is missing, cannot be read, or has another shape than the slide.
    """
    shape = thumbnail.shape[:2]
    record: dict[str, Any] = {"method": options.method}
    if options.method == "none":
        mask = np.ones(shape, np.bool_)
    elif options.method == "mask":
        file = masks.find_mask_file(str(options.path), slide_id, masks.MASK_EXTENSIONS)
        mask = masks.read_mask(file, shape, slide_size)
        record["file"] = str(file)
    elif options.method == "geojson":
        file = masks.find_mask_file(str(options.path), slide_id, masks.GEOJSON_EXTENSIONS)
        mask, counts = masks.read_geojson(file, shape, slide_size)
        record |= {"file": str(file), **counts}
    else:
        um_per_px = None if mpp is None else mpp * slide_size[0] / shape[1]
        mask, found = _detect(thumbnail, options, um_per_px)
        record |= found
    record |= {"tissue_fraction": round(float(mask.mean()), 6), "empty": not mask.any()}
    return TissueMask(mask, record)


def _detect(
    thumbnail: NDArray[np.uint8], options: TissueOptions, um_per_px: float | None
) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """Return the mask on the thumbnail's grid and what was decided."""
    factor = _reduction(thumbnail.shape, um_per_px)
    small = _reduce(thumbnail, factor)
    work_um = None if um_per_px is None else um_per_px * factor
    found, record = _stained(small, options, work_um)
    pixel = found.size * SHARE_WITHOUT_MPP
    min_object_px = pixel if work_um is None else options.min_object_um2 / work_um**2
    max_hole_px = pixel if work_um is None else options.max_hole_um2 / work_um**2
    mask = clean(found, min_object_px, max_hole_px)
    record |= {
        "um_per_px": None if work_um is None else round(work_um, 4),
        "reduction": factor,
        "min_object_px": round(min_object_px, 2),
        "max_hole_px": round(max_hole_px, 2),
    }
    return _enlarge(mask, factor, thumbnail.shape), record


def _stained(
    small: NDArray[np.uint8], options: TissueOptions, um_per_px: float | None
) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """Return the pixels beyond the thresholds, without padding and pen."""
    rgb = _planes(small)
    if options.method == "otsu" and thresholds.is_fluorescence(rgb):
        found = thresholds.fluorescent(rgb, um_per_px)
        return found.mask, found.parameters
    padding = np.zeros(rgb.shape[1:], np.bool_)
    if options.exclude_blank:
        padding = quality.find_padding(rgb)
    if options.method == "hsv":
        bands = (options.hsv_hue, options.hsv_saturation, options.hsv_value)
        found = thresholds.in_hsv_band(rgb, *bands, um_per_px)
    else:
        found = thresholds.stained(rgb, padding, um_per_px)
    record = found.parameters | {"padding_share": round(float(padding.mean()), 4)}
    mask = found.mask & ~padding
    if options.exclude_pen:
        pen, record["pen"] = _find_pen(small, found.glass | padding, um_per_px)
        mask &= ~pen
    return mask, record


def _find_pen(
    small: NDArray[np.uint8], glass: NDArray[np.bool_], um_per_px: float | None
) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """Find pen on a coarser grid, and return it on this one."""
    if um_per_px is None:
        return np.zeros(glass.shape, np.bool_), {"searched": False}
    factor = _factor(PEN_UM / um_per_px, glass.shape)
    coarse_glass = _reduce(glass.astype(np.uint8) * 255, factor) > 127
    coarse = _planes(_reduce(small, factor))
    pen, shares = quality.find_pen(coarse, coarse_glass, um_per_px * factor)
    return _enlarge(pen, factor, glass.shape), {"searched": True, "share": shares}


def clean(mask: NDArray[np.bool_], min_object_px: float, max_hole_px: float) -> NDArray[np.bool_]:
    """Fill holes of at most `max_hole_px`, then drop pieces of fewer than `min_object_px` pixels.

    A hole is background that does not reach the picture's edge. Pieces hang together over corners,
    holes over sides only.
    """
    from scipy import ndimage

    holes, count = ndimage.label(~mask)
    areas = np.bincount(holes.ravel(), minlength=count + 1)
    fill = areas <= max_hole_px
    for edge in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
        fill[edge] = False
    fill[0] = True
    filled = fill[holes]
    pieces, count = ndimage.label(filled, np.ones((3, 3)))
    keep = np.bincount(pieces.ravel(), minlength=count + 1) >= min_object_px
    keep[0] = False
    return np.asarray(keep[pieces], np.bool_)


def _reduction(shape: tuple[int, ...], um_per_px: float | None) -> int:
    fit = math.ceil(max(shape[:2]) / WORK_PX)
    return fit if um_per_px is None else max(fit, _factor(WORK_UM / um_per_px, shape))


def _factor(wanted: float, shape: tuple[int, ...]) -> int:
    return max(1, min(round(wanted), *shape[:2]))


def _planes(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.moveaxis(rgb, -1, 0), np.float32)


def _enlarge(mask: NDArray[np.bool_], factor: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask whose every pixel is a block, cut to a shape."""
    if factor == 1:
        return mask
    return mask.repeat(factor, axis=0).repeat(factor, axis=1)[: shape[0], : shape[1]]


def _reduce(rgb: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return the mean of every factor x factor block, of what there is of it at the edges."""
    if factor == 1:
        return rgb
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).reduce(factor))
