"""The picture of a synthetic slide: islands of real tissue, mirrored without seams, on real glass.

Everything is in pixels of level 0 and in tiles of one size; nothing here is encoded.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi.errors import InvalidRequestError
from wsi.synthetic.encoding import Pixels

CELLS = 4  # samples of a field per tile side; between them it is interpolated
_BLOCK_TILES = 4  # a motif's side: large enough to hold structures, small enough to be all tissue
_MOTIFS = 4
_GLASS_VARIANTS = 16
_THIN = 4  # every fourth pixel of the source is looked at when choosing from it
_FRAYED = 0.1  # up to this height of the field, only what is dark in the tissue is kept
_TURNS = 0.3  # share of tile borders at which a motif is mirrored although it goes on

Field = npt.NDArray[np.float32]
Walk = npt.NDArray[np.int64]
Tissue = tuple[int, int, int]
"""A tile of tissue: motif, row and column in it; a mirrored row or column r is ~r."""


@dataclass(frozen=True, slots=True)
class Tile:
    """What one tile shows: tissue of one or two motifs, glass, or a border between them.

    Tiles that are equal have the same pixels. `place` is (row, column) where a border makes the
    tile one of its kind, otherwise None.
    """

    tissues: tuple[Tissue, ...]
    glass: int | None
    place: tuple[int, int] | None


class Picture:
    """Says what each tile shows and makes its pixels.

    Args:
        source: u1 (h, w, 3), at least one tile large, with tissue and, if it can, glass.
        tile_px: side of a tile.
        shape: rows and columns of tiles.
        fraction: share of the area inside the tissue's outline.
        rng: decides on outlines and motifs, and makes noise on the glass.
    """

    def __init__(
        self,
        source: Pixels,
        tile_px: int,
        shape: tuple[int, int],
        fraction: float,
        rng: np.random.Generator,
    ) -> None:
        if min(source.shape[:2]) < tile_px:
            raise InvalidRequestError(f"the source {source.shape} is smaller than {tile_px} px")
        self._tile_px = tile_px
        side = min(_BLOCK_TILES, min(source.shape[:2]) // tile_px)
        self._motifs = find_motifs(source, side * tile_px)
        self._glass = make_glass(source, tile_px, rng)
        self._outline = draw_outline(shape, fraction, rng)
        self._fields = [draw_noise(shape, 0.06, rng) for _ in self._motifs]
        self._walks = [tuple(walk(n, side, rng) for n in shape) for _ in self._motifs]

    def describe(self, row: int, column: int) -> Tile:
        """Say what a tile shows."""
        outline = _window(self._outline, row, column)
        glass = (row * 7 + column * 3 + row * column) % len(self._glass)
        if outline.max() <= 0:
            return Tile((), glass, None)
        found = tuple(self._tissue(motif, row, column) for motif in self._leading(row, column))
        if outline.min() > _FRAYED:
            return Tile(found, None, (row, column) if len(found) > 1 else None)
        return Tile(found, glass, (row, column))

    def _leading(self, row: int, column: int) -> list[int]:
        """The motif that leads in a tile, or the two that do so most where it changes."""
        heights = np.stack([_window(field, row, column) for field in self._fields])
        winners, counts = np.unique(heights.argmax(axis=0), return_counts=True)
        found: list[int] = winners[np.argsort(-counts, kind="stable")][:2].tolist()
        return found

    def _tissue(self, motif: int, row: int, column: int) -> Tissue:
        down, right = self._walks[motif]
        return motif, int(down[row]), int(right[column])

    def render(self, tile: Tile) -> Pixels:
        """Make a tile's pixels, u1 (tile_px, tile_px, 3)."""
        if not tile.tissues:
            return self._glass[tile.glass or 0]
        pixels = self._cut(tile.tissues[0])
        if tile.place is None:
            return pixels
        if len(tile.tissues) > 1:
            first, second = (self._field(t[0], tile.place) for t in tile.tissues)
            pixels = np.where((first > second)[..., None], pixels, self._cut(tile.tissues[1]))
        if tile.glass is None:
            return pixels
        height = upsample(_window(self._outline, *tile.place), self._tile_px)
        lightness = np.clip((pixels[..., 1].astype(np.float32) - 60) / 180, 0, 1)
        return np.where((height > _FRAYED * lightness)[..., None], pixels, self._glass[tile.glass])

    def _field(self, motif: int, place: tuple[int, int]) -> Field:
        return upsample(_window(self._fields[motif], *place), self._tile_px)

    def _cut(self, tissue: Tissue) -> Pixels:
        motif, row, column = tissue
        n = self._tile_px
        top, left = (~at if at < 0 else at for at in (row, column))
        tile = self._motifs[motif][top * n : (top + 1) * n, left * n : (left + 1) * n]
        return tile[:: -1 if row < 0 else 1, :: -1 if column < 0 else 1]


def walk(count: int, side: int, rng: np.random.Generator) -> Walk:
    """Walk over a motif's `side` tiles in `count` steps so that neighbours always fit.

    Each step goes on to the next tile or, at the motif's edge and now and then before, turns: the
    same tile again, mirrored (written ~i).
    """
    steps = np.empty(count, np.int64)
    at, ahead = int(rng.integers(side)), True
    for i, turns in enumerate((rng.random(count) < _TURNS).tolist()):
        steps[i] = at if ahead else ~at
        following = at + (1 if ahead else -1)
        if turns or not 0 <= following < side:
            ahead = not ahead
        else:
            at = following
    return steps


def draw_noise(shape: tuple[int, int], share: float, rng: np.random.Generator) -> Field:
    """Draw smooth noise of unit variance over (rows, columns) of tiles and a cell around.

    `share` is its grain as a part of the shorter side. Returns f4 (rows * CELLS + 2, …).
    """
    import skimage.filters

    cells = (shape[0] * CELLS + 2, shape[1] * CELLS + 2)
    filters: Any = skimage.filters  # partly typed
    noise = filters.gaussian(
        rng.standard_normal(cells), sigma=max(1, min(cells) * share), mode="wrap"
    )
    out: Field = (noise / noise.std()).astype(np.float32)
    return out


def draw_outline(shape: tuple[int, int], fraction: float, rng: np.random.Generator) -> Field:
    """Draw islands: the field is above 0 over `fraction` of the area; margins stay glass."""
    noise = draw_noise(shape, 0.09, rng)
    for height, share in ((0.2, 0.02), (0.06, 0.006)):
        noise += np.float32(height) * draw_noise(shape, share, rng)
    if fraction >= 1:
        return np.full_like(noise, 2 * _FRAYED)
    y, x = (np.abs(np.linspace(-1, 1, n)) for n in noise.shape)
    field = noise - 8 * (y[:, None] ** 8 + x[None, :] ** 8)
    out: Field = (field - np.quantile(field, 1 - fraction)).astype(np.float32)
    return out


def _window(field: Field, row: int, column: int) -> Field:
    """Take the field over one tile and a cell around it, (CELLS + 2, CELLS + 2)."""
    top, left = row * CELLS, column * CELLS
    return field[top : top + CELLS + 2, left : left + CELLS + 2]


def upsample(window: Field, tile_px: int) -> Field:
    """Interpolate (CELLS + 2)**2 samples at cell centres over the tile, f4 (tile_px, tile_px)."""
    at = (np.arange(tile_px) + 0.5) * CELLS / tile_px + 0.5
    low = np.floor(at).astype(int)
    part = (at - low).astype(np.float32)
    rows = window[low] * (1 - part[:, None]) + window[low + 1] * part[:, None]
    out: Field = rows[:, low] * (1 - part) + rows[:, low + 1] * part
    return out


def find_motifs(source: Pixels, side_px: int) -> list[Pixels]:
    """Find up to four squares that are most of all tissue; every other one lies on its side."""
    thin = source[::_THIN, ::_THIN]
    share, tops, lefts = tissue_share(thin, side_px // _THIN, max(1, side_px // _THIN // 16))
    chosen: list[tuple[int, int]] = []
    for at in np.argsort(-share, axis=None, kind="stable").tolist():
        row, column = divmod(at, len(lefts))
        top, left = _THIN * int(tops[row]), _THIN * int(lefts[column])
        if share.flat[at] < 0.85 * share.max() or len(chosen) == _MOTIFS:
            break
        if all(max(abs(top - t), abs(left - x)) >= side_px // 4 for t, x in chosen):
            chosen.append((top, left))
    cut = [source[t : t + side_px, x : x + side_px] for t, x in chosen]
    return [motif if i % 2 == 0 else motif.swapaxes(0, 1) for i, motif in enumerate(cut)]


def tissue_share(
    source: Pixels, side_px: int, step_px: int
) -> tuple[npt.NDArray[np.float64], Walk, Walk]:
    """Share of coloured pixels in each square of a raster, with its tops and lefts in pixels."""
    coloured = (np.ptp(source, axis=2) > 20).astype(np.int64)
    sums = np.pad(coloured.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    tops = np.arange(0, source.shape[0] - side_px + 1, step_px)
    lefts = np.arange(0, source.shape[1] - side_px + 1, step_px)
    below = sums[tops + side_px] - sums[tops]
    return (below[:, lefts + side_px] - below[:, lefts]) / side_px**2, tops, lefts


def make_glass(source: Pixels, tile_px: int, rng: np.random.Generator) -> list[Pixels]:
    """Make tiles of the colour of the source's evenest light spot, with a scanner's noise."""
    thin, step = source[::_THIN, ::_THIN], max(1, tile_px // _THIN // 2)
    rows, columns = thin.shape[0] // step, thin.shape[1] // step
    cells = thin[: rows * step, : columns * step].reshape(rows, step, columns, step, 3)
    spread = cells.std(axis=(1, 3)).max(axis=-1)
    means = cells.mean(axis=(1, 3))
    is_light = means.min(axis=-1) > 200
    at = np.argmin(np.where(is_light, spread, np.inf))
    colour = means.reshape(-1, 3)[at] if is_light.any() else np.full(3, 243.0)
    noise = rng.standard_normal((_GLASS_VARIANTS, tile_px, tile_px, 3), dtype=np.float32)
    return list(np.clip(np.rint(colour + 1.5 * noise), 0, 255).astype(np.uint8))
