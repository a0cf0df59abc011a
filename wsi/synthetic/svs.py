"""Writes Aperio SVS files of any size whose tiles are a real slide's pixels, in seconds."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi.area import block_mean
from wsi.errors import InvalidRequestError
from wsi.geometry import Size
from wsi.synthetic.container import DESCRIPTION, SUBFILE, Page, TiffBuilder, image_tags
from wsi.synthetic.encoding import Codec, JpegEncoder, Pixels, TileEncoder, make_encoder
from wsi.synthetic.texture import Picture

_SOURCE_MAX_PX = 4096
_LIBRARY = "Aperio Image Library v12.0.15 \r\n"


@dataclass(frozen=True, slots=True)
class SvsSpec:
    """How a synthetic SVS is made."""

    tile_px: int = 256
    """Side of a native tile; Aperio has 240 and 256."""
    codec: Codec = "jpeg"
    """"jpeg" (YCbCr), "jpeg-rgb" (unmarked RGB), "jpeg2k" (33005) or "jpeg2k-ycc" (33003)."""
    quality: int = 75
    """JPEG quality, IJG scale; scanners write 70 to 80."""
    subsampling: str = "422"
    """Of JPEG's colour: "444", "422", "420"; "jpeg-rgb" is always "444"."""
    mpp: float | None = 0.25
    """Microns per pixel of level 0; None leaves it out of the file."""
    objective: float | None = None
    """Magnification; None derives it from mpp (10 / mpp), or leaves it out with mpp."""
    downsamples: tuple[int, ...] = (1, 4, 16)
    """Level-0 pixels per pixel of each level; each divides the next."""
    tissue_fraction: float = 0.5
    """Share of the area inside the tissue's outline, 0 to 1."""
    seed: int = 0
    """Of the outline and the glass noise; same seed, same file."""
    with_associated: bool = True
    """Whether to write thumbnail, label and macro."""

    def __post_init__(self) -> None:
        """Refuse levels that tiles cannot be pasted to."""
        steps = self.steps
        if self.downsamples[:1] != (1,) or any(step < 2 for step in steps):
            raise InvalidRequestError(f"downsamples must rise from 1, got {self.downsamples}")
        uneven = any(lower % upper for upper, lower in pairwise(self.downsamples))
        if uneven or any(self.tile_px % step for step in steps):
            raise InvalidRequestError(f"{self.downsamples} do not divide tiles of {self.tile_px}")

    @property
    def steps(self) -> tuple[int, ...]:
        """Reduction from each level to the next."""
        return tuple(b // a for a, b in pairwise(self.downsamples))

    @property
    def magnification(self) -> float | None:
        """What the file says, None for nothing."""
        if self.objective is None and self.mpp is not None:
            return float(round(10 / self.mpp))
        return self.objective


@dataclass
class _Level:
    """Encoded tiles of a level: `grid` (rows, columns) numbers `blocks`; `small`: those reduced."""

    grid: npt.NDArray[np.int64]
    blocks: list[bytes]
    small: list[Pixels]


def write_svs(
    path: Path | str,
    source: Path | str | Pixels,
    size: int | tuple[int, int],
    spec: SvsSpec | None = None,
) -> None:
    """Write an SVS of `size` px (square, or width and height) from a real slide's pixels.

    Tissue is cut from the source and mirrored so that neighbouring tiles fit; each different tile
    is encoded once and written wherever it belongs, so the file is as large as a real one. Lower
    levels are area means of what the level above decodes to.

    Args:
        path: the file to make.
        source: a slide with tissue and glass, or its pixels, u1 (h, w, 3). Of a slide that is
            larger, the middle 4,096 px are taken.
        size: of level 0; need not be a multiple of the tile.
        spec: everything else.
    """
    spec = spec or SvsSpec()
    width, height = (size, size) if isinstance(size, int) else size
    if min(width, height) < max(spec.downsamples):
        raise InvalidRequestError(f"a slide of {width} x {height} px has no level {spec}")
    pixels = source if isinstance(source, np.ndarray) else read_source(str(source))
    encoder = make_encoder(spec.codec, spec.quality, spec.subsampling)
    levels = _make_levels(Size(width, height), spec, pixels, encoder)
    stored = sum(len(levels[0].blocks[at]) for at in levels[0].grid.flat)
    with TiffBuilder(path, big=stored * 1.5 > 4e9) as tiff:
        for page in _make_pages(Size(width, height), spec, levels, encoder):
            tiff.add(page)


def read_source(location: str) -> Pixels:
    """Read a slide's level 0, or the middle of it where it is larger than 4,096 px."""
    from wsi.geometry import Point, Region
    from wsi.readers import open_slide

    with open_slide(location) as slide:
        whole = slide.levels[0].size
        taken = Size(min(whole.width, _SOURCE_MAX_PX), min(whole.height, _SOURCE_MAX_PX))
        corner = Point((whole.width - taken.width) // 2, (whole.height - taken.height) // 2)
        pixels: Pixels = slide.read_region(Region(corner, 0, taken))
        return pixels


def _make_levels(size: Size, spec: SvsSpec, source: Pixels, encoder: TileEncoder) -> list[_Level]:
    steps = (*spec.steps, 1)
    levels = [_make_base(size, spec, source, _Encoder(encoder, steps[0]))]
    for step, further, downsample in zip(spec.steps, steps[1:], spec.downsamples[1:], strict=True):
        span = spec.tile_px * downsample
        shape = (-(-size.height // span), -(-size.width // span))
        levels.append(_make_lower(levels[-1], step, shape, _Encoder(encoder, further)))
        levels[-2].small = []
    return levels


class _Encoder:
    """Collects a level's different tiles: encodes each once, and reduces what it decodes to."""

    def __init__(self, encoder: TileEncoder, step: int) -> None:
        self._encoder, self._step = encoder, step
        self._known: dict[Any, int] = {}
        self.blocks: list[bytes] = []
        self.small: list[Pixels] = []

    def add(self, key: Any, make: Callable[[], Pixels]) -> int:
        """Return the number of the tile named `key`, made where it is new."""
        if key not in self._known:
            block = self._encoder.encode(make())
            self._known[key] = len(self.blocks)
            self.blocks.append(block)
            self.small.append(reduce_area(self._encoder.decode(block), self._step))
        return self._known[key]

    def finish(self, numbers: list[int], shape: tuple[int, int]) -> _Level:
        """Return the level whose tiles are `numbers`, row-major."""
        return _Level(np.array(numbers, np.int64).reshape(shape), self.blocks, self.small)


def _make_base(size: Size, spec: SvsSpec, source: Pixels, tiles: _Encoder) -> _Level:
    rows, columns = -(-size.height // spec.tile_px), -(-size.width // spec.tile_px)
    rng = np.random.default_rng(spec.seed)
    picture = Picture(source, spec.tile_px, (rows, columns), spec.tissue_fraction, rng)
    described = (picture.describe(row, column) for row in range(rows) for column in range(columns))
    numbers = [tiles.add(tile, partial(picture.render, tile)) for tile in described]
    return tiles.finish(numbers, (rows, columns))


def _make_lower(upper: _Level, step: int, shape: tuple[int, int], tiles: _Encoder) -> _Level:
    """Paste the reduced tiles of the level above; what lies beyond its edge repeats the edge."""
    rows = np.minimum(np.arange(shape[0] * step), upper.grid.shape[0] - 1)
    columns = np.minimum(np.arange(shape[1] * step), upper.grid.shape[1] - 1)
    grid = upper.grid[rows][:, columns]

    def number(row: int, column: int) -> int:
        part = grid[row * step : (row + 1) * step, column * step : (column + 1) * step]
        return tiles.add(part.tobytes(), lambda: paste(part, upper.small))

    numbers = [number(row, column) for row in range(shape[0]) for column in range(shape[1])]
    return tiles.finish(numbers, shape)


def paste(grid: npt.NDArray[np.int64], tiles: list[Pixels]) -> Pixels:
    """Lay tiles side by side, (rows, columns) of tile numbers -> u1 (h, w, 3)."""
    return np.concatenate([np.concatenate([tiles[at] for at in row], 1) for row in grid])


def reduce_area(pixels: Pixels, step: int) -> Pixels:
    """Average step x step pixels; what does not fill a square is cut off."""
    height, width = (n - n % step for n in pixels.shape[:2])
    return block_mean(np.ascontiguousarray(pixels[:height, :width]), step)


def _make_pages(
    size: Size, spec: SvsSpec, levels: list[_Level], encoder: TileEncoder
) -> Iterator[Page]:
    """Yield the pages in Aperio's order: base, thumbnail, lower levels, label, macro."""
    picture = _shrink(paste(levels[-1].grid, levels[-1].small), size, spec)
    facts = _facts(spec)
    frame = f"{size.width}x{size.height} [0,0 {size.width}x{size.height}]"
    for level, downsample in zip(levels, spec.downsamples, strict=True):
        shown = Size(size.width // downsample, size.height // downsample)
        tile = Size(spec.tile_px, spec.tile_px)
        tags = image_tags(shown, tile, compression=0, photometric=2) | encoder.tags
        arrow = f" -> {shown.width}x{shown.height}" if downsample > 1 else ""
        text = f"{_LIBRARY}{frame} ({tile.width}x{tile.height}){arrow} {encoder.name}{facts}"
        tags |= {DESCRIPTION: text, SUBFILE: 0}
        yield Page(tags, (level.blocks[at] for at in level.grid.flat))
        if spec.with_associated and downsample == 1:
            height, width = picture.shape[:2]
            text = f"{_LIBRARY}{frame.split()[0]} -> {width}x{height} - {facts}"
            yield _picture_page(picture, text, 0)
    if spec.with_associated:
        yield _picture_page(_label(), f"{_LIBRARY}label 240x240", 1)
        yield _picture_page(_macro(picture), f"{_LIBRARY}macro 720x240", 9)


def _facts(spec: SvsSpec) -> str:
    power = spec.magnification
    parts = [] if power is None else [f"AppMag = {power:g}"]
    parts += ["ScanScope ID = SYNTHETIC", f"Filename = synthetic-{spec.seed}"]
    parts += [] if spec.mpp is None else [f"MPP = {spec.mpp:.6g}"]
    return "|" + "|".join(parts)


def _shrink(picture: Pixels, size: Size, spec: SvsSpec) -> Pixels:
    """Cut the lowest level's padding off and reduce it to at most 1,024 px."""
    last = spec.downsamples[-1]
    whole = picture[: max(1, size.height // last), : max(1, size.width // last)]
    return reduce_area(whole, max(1, math.ceil(max(whole.shape) / 1024)))


def _picture_page(pixels: Pixels, description: str, subfile: int) -> Page:
    """Make a page of one JPEG strip."""
    encoder = JpegEncoder(75, "444", rgb=False)
    size = Size(pixels.shape[1], pixels.shape[0])
    tags = image_tags(size, None, compression=7, photometric=6) | encoder.tags
    return Page(tags | {DESCRIPTION: description, SUBFILE: subfile}, [encoder.encode(pixels)])


def _label() -> Pixels:
    """Draw something that is plainly a label: dark bars on white."""
    label = np.full((240, 240, 3), 250, np.uint8)
    label[60:180, 30:210:12] = 20
    return label


def _macro(picture: Pixels) -> Pixels:
    """Put label and thumbnail side by side on a grey slide."""
    macro = np.full((240, 720, 3), 225, np.uint8)
    macro[:, :240] = _label()
    step = max(1, math.ceil(max(picture.shape[0] / 220, picture.shape[1] / 440)))
    small = reduce_area(picture, step)[:220, :440]
    macro[10 : 10 + small.shape[0], 260 : 260 + small.shape[1]] = small
    return macro
