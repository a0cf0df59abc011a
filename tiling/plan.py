"""What will be cut from a slide, in which order and as which bytes, before a pixel is cut."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiling.coverage import patch_fractions
from tiling.encoding import Encoding, bytes_bound
from tiling.errors import PlanError
from tiling.grid import Grid, Resolution, Window, choose_resolution, lay_grid
from tiling.passthrough import choose_encoding, tile_cells
from tiling.request import CutOptions, SlideSource, config_hash, open_source
from tiling.tissue import TissueMask, detect_tissue
from wsi.geometry import Level, Mpp, Size
from wsi.native import NativeTiles
from wsi.slide import Slide

SHARD_BYTES = 48 << 20
"""What a shard should hold: below the 64 MB that bound a task's memory."""


@dataclass(frozen=True)
class SlidePlan:
    """One slide, decided.

    Attributes:
        indices: kept grid positions `(N,)`, ascending, row-major.
        coords: top-left corners `(N, 2)` as x, y in level-0 pixels.
        tissue_fraction: `(N,)`.
        patches_per_shard: room of a shard, the same for all shards of the slide.
        bytes_estimate: what the patches will take; exact for passthrough, else a guess.
        thumbnail: `(h, w, 3)`; tissue_mask: `(h, w)` bool on the same pixels.
        attributes: what the archive records and is known before cutting.
    """

    source: SlideSource
    options: CutOptions
    resolution: Resolution
    grid: Grid
    indices: NDArray[np.int64]
    coords: NDArray[np.int32]
    tissue_fraction: NDArray[np.float32]
    encoding: Encoding
    patches_per_shard: int
    bytes_estimate: int
    thumbnail: NDArray[np.uint8]
    tissue_mask: NDArray[np.bool_]
    attributes: Mapping[str, Any]

    def __len__(self) -> int:
        """Number of kept patches."""
        return len(self.indices)


def plan_slide(source: SlideSource, options: CutOptions) -> SlidePlan:
    """Decide resolution, grid, kept patches and encoding of one slide.

    Raises:
        SlideError: the slide cannot be opened, or has no resolution.
        PlanError: what was asked for cannot be cut from it.
    """
    with open_source(source, options) as slide:
        return _plan(slide, source, options)


def _plan(slide: Slide, source: SlideSource, options: CutOptions) -> SlidePlan:
    record = slide.mpp
    mpp = Mpp(record.x, record.y)
    resolution = choose_resolution(slide.levels, mpp, options.mpp, options.mpp_tolerance)
    grid = _grid(slide, resolution, options)
    thumbnail = slide.thumbnail(thumbnail_px(slide.levels, options.tissue.thumbnail_px))
    tissue = _tissue(slide, source, options, thumbnail)
    indices, fractions = _keep(slide, grid, tissue, options.min_tissue)
    native = slide.native_tiles(resolution.level)
    icc = _converts(slide, options)
    encoding = choose_encoding(native, grid, resolution, indices, wanted=options.encoding, icc=icc)
    sizes = _patch_bytes(native, grid, indices, encoding, options.patch_size_px)
    attributes = _attributes(slide, source, options, tissue)
    return SlidePlan(
        source=source,
        options=options,
        resolution=resolution,
        grid=grid,
        indices=indices,
        coords=grid.level0(indices),
        tissue_fraction=fractions,
        encoding=encoding,
        patches_per_shard=shard_capacity(sizes, SHARD_BYTES),
        bytes_estimate=_estimate(sizes, encoding),
        thumbnail=thumbnail,
        tissue_mask=tissue.mask,
        attributes=attributes | _grid_attributes(grid, resolution, encoding, options),
    )


def _converts(slide: Slide, options: CutOptions) -> bool:
    """Whether colours are converted: asked for, and the slide has a profile."""
    return options.icc and slide.icc_profile is not None


def picture_window(slide: Slide, resolution: Resolution) -> Window:
    """Give the part of a level that holds the picture: the slide's bounds, inside the level."""
    level = slide.levels[resolution.level]
    bounds = slide.bounds
    down = level.downsample
    right = min((bounds.location.x + bounds.size.width) / down, level.size.width)
    lower = min((bounds.location.y + bounds.size.height) / down, level.size.height)
    x, y = bounds.location.x / down, bounds.location.y / down
    if resolution.unscaled:  # whole pixels, so that none is blended
        x, y = float(np.ceil(x - 1e-6)), float(np.ceil(y - 1e-6))
    return Window(x, y, right - x, lower - y)


def _grid(slide: Slide, resolution: Resolution, options: CutOptions) -> Grid:
    level = slide.levels[resolution.level]
    down = level.downsample
    window = picture_window(slide, resolution)
    patch = Size(options.patch_size_px, options.patch_size_px)
    stride = Size(options.stride, options.stride)
    grid = lay_grid(window, down, resolution, patch=patch, stride=stride, pad=options.pad_edges)
    if len(grid) == 0:
        raise PlanError(
            f"{level.size.width} x {level.size.height} px at level {level.index} hold no patch of "
            f"{grid.extent_x:g} x {grid.extent_y:g} px; ask for a smaller --patch-size, a finer "
            "--mpp or for --pad-edges"
        )
    return grid


def thumbnail_px(levels: Sequence[Level], limit: int) -> int:
    """Longest side of the thumbnail: that of a level of the slide between half of `limit` and it.

    Such a level is taken as it is, which saves reading 16 times its pixels from the next finer one.
    """
    sides = [max(level.size.width, level.size.height) for level in levels]
    return max((side for side in sides if limit // 2 <= side <= limit), default=limit)


def _tissue(
    slide: Slide, source: SlideSource, options: CutOptions, thumbnail: NDArray[np.uint8]
) -> TissueMask:
    chosen = options.tissue
    if source.mask:
        chosen = replace(chosen, method="mask", path=source.mask)
    return detect_tissue(
        thumbnail,
        chosen,
        slide_size=(slide.size.width, slide.size.height),
        mpp=(slide.mpp.x + slide.mpp.y) / 2,
        slide_id=source.slide_id,
    )


def _keep(
    slide: Slide, grid: Grid, tissue: TissueMask, min_tissue: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    every = np.arange(len(grid), dtype=np.int64)
    corners = grid.origins(every) * grid.downsample
    fractions = patch_fractions(
        tissue.mask, corners, grid.footprint_level0, (slide.size.width, slide.size.height)
    )
    kept = np.flatnonzero(fractions >= min_tissue)
    return kept, fractions[kept]


def _patch_bytes(
    native: NativeTiles | None,
    grid: Grid,
    indices: NDArray[np.int64],
    encoding: Encoding,
    patch_px: int,
) -> NDArray[np.int64]:
    """Bytes per stored patch `(N,)`: exact for copies, a bound for the rest."""
    if encoding.copies and native is not None:
        margin = 1024  # JPEG tables that are merged into each tile
        return native.byte_counts.ravel()[tile_cells(native, grid, indices)] + margin
    return np.full(len(indices), bytes_bound(encoding, patch_px), np.int64)


def shard_capacity(sizes: NDArray[np.int64], limit: int) -> int:
    """Find how many patches shards can have without any exceeding `limit` bytes.

    At least 1, no more than there are patches, and the most possible where sizes are alike.
    """
    count = len(sizes)
    if count == 0:
        return 1
    sums = np.concatenate([[0], np.cumsum(sizes)])
    low, high = 1, count
    while low < high:
        middle = (low + high + 1) // 2
        edges = np.append(np.arange(0, count, middle), count)
        fits = np.diff(sums[edges]).max() <= limit
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def _estimate(sizes: NDArray[np.int64], encoding: Encoding) -> int:
    # measured on real slides: JPEG 95 takes 0.4 to 0.9 of its bound, lossless 0.32 (bundled slide)
    share = {"imagecodecs_jpegxl": 0.32, "bytes": 1.0}.get(encoding.codec, 0.65)
    return int(sizes.sum() * (1.0 if encoding.copies else share))


def _attributes(
    slide: Slide, source: SlideSource, options: CutOptions, tissue: TissueMask
) -> dict[str, Any]:
    record = slide.mpp
    bounds = slide.bounds
    return {
        "slide_id": source.slide_id,
        "patient": source.patient,
        "site": source.site,
        "labels": {"label": source.label, "split": source.split},
        "reader": slide.reader,
        "vendor": slide.vendor,
        "levels": [
            {"width": v.size.width, "height": v.size.height, "downsample": v.downsample}
            for v in slide.levels
        ],
        "bounds": [bounds.location.x, bounds.location.y, bounds.size.width, bounds.size.height],
        "mpp": {"x": record.x, "y": record.y, "origin": record.origin},
        "objective": slide.objective,
        "icc": _converts(slide, options),
        "tissue": dict(tissue.parameters),
        "config_hash": config_hash(options, source),
    }


def _grid_attributes(
    grid: Grid, resolution: Resolution, encoding: Encoding, options: CutOptions
) -> dict[str, Any]:
    return {
        "mpp_requested": resolution.requested,
        "mpp_effective": [resolution.effective.x, resolution.effective.y],
        "level": resolution.level,
        "reduction": [resolution.reduction_x, resolution.reduction_y],
        "patch_size_px": options.patch_size_px,
        "stride_px": options.stride,
        "patch_size_level0": list(grid.footprint_level0),
        "stride_level0": [grid.step_x * grid.downsample, grid.step_y * grid.downsample],
        "grid": asdict(grid),
        "n_grid": len(grid),
        "min_tissue": options.min_tissue,
        "encoding": {
            "label": encoding.label,
            "codec": encoding.codec,
            "reason": encoding.reason,
        },
    }
