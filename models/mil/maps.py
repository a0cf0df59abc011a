"""Attention as a map: a picture of one pixel per grid position, and the exact values."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bags.bag import Bag
from tiling.maps import write_map

Floats = NDArray[np.float32]

NONE, LOWEST, HIGHEST = 0, 1, 255
"""Pixels without a patch, of the lowest and of the highest attention."""


@dataclass(frozen=True)
class AttentionMap:
    """Attention of one slide.

    Attributes:
        pixels: (A, h, w), 0 where no patch is, else 1 to 255 for the lowest to the highest value.
        patches: (A, N), the exact values in the order of the archive; NaN where a patch was
            unreadable and had no part.
        scale: per channel, the values of pixels 1 and 255.
        origin: x, y of the first pixel's corner in level-0 pixels.
        step: width and height of a pixel in level-0 pixels.
    """

    pixels: NDArray[np.uint8]
    patches: Floats
    scale: tuple[tuple[float, float], ...]
    origin: tuple[float, float]
    step: tuple[float, float]


def draw_map(bag: Bag, attention: Floats) -> AttentionMap:
    """Lay attention (A, n) of a bag's patches on their grid.

    Imported patches that share a grid position show the highest value there.
    """
    rows, columns = bag.row_col[:, 0], bag.row_col[:, 1]
    height, width = _shape(bag)
    low = attention.min(axis=1, initial=np.inf, keepdims=True)
    high = attention.max(axis=1, initial=-np.inf, keepdims=True)
    span = np.where(high > low, high - low, 1)
    share = np.where(high > low, (attention - low) / span, 1.0)
    values = np.rint(LOWEST + share * (HIGHEST - LOWEST)).astype(np.uint8)
    pixels = np.zeros((len(attention), height, width), np.uint8)
    for channel, row in zip(pixels, values, strict=True):
        np.maximum.at(channel, (rows, columns), row)
    patches = np.full((len(attention), len(bag.store)), np.nan, np.float32)
    patches[:, bag.rows] = attention
    ends = np.concatenate([low, high], axis=1) if len(bag) else np.zeros((len(attention), 2))
    scale = tuple((float(a), float(b)) for a, b in ends)
    return AttentionMap(pixels, patches, scale, _origin(bag), bag.level0_stride)


def _shape(bag: Bag) -> tuple[int, int]:
    grid = bag.attributes.get("grid")
    if grid:
        return max(1, int(grid["rows"])), max(1, int(grid["columns"]))
    rows, columns = bag.row_col.max(axis=0, initial=0) + 1
    return int(rows), int(columns)


def _origin(bag: Bag) -> tuple[float, float]:
    grid = bag.attributes.get("grid")
    if grid:
        downsample = float(grid["downsample"])
        return grid["origin_x"] * downsample, grid["origin_y"] * downsample
    if not len(bag):
        return 0.0, 0.0
    x, y = bag.coords.min(axis=0)
    return float(x), float(y)


def store_attention(
    bag: Bag, name: str, attention: Floats, channels: tuple[str, ...], model: dict[str, Any]
) -> None:
    """Write attention as the map `maps/<name>` with the arrays `pixels` and `patches`.

    Args:
        bag: the slide.
        name: of the map.
        attention: (A, n); of each channel it sums to 1 over the bag that the slide is part of.
        channels: names of the A channels.
        model: what made it, JSON values.

    Raises:
        StoreError: it cannot be written.
    """
    drawn = draw_map(bag, attention)
    mpp = bag.mpp0
    attributes = {
        "kind": "attention",
        "model": model,
        "channels": list(channels),
        "scale": [{"value_of_1": low, "value_of_255": high} for low, high in drawn.scale],
        "no_patch": NONE,
        "level0_origin": list(drawn.origin),
        "level0_step": list(drawn.step),
        "mpp": None if mpp is None else [s * m for s, m in zip(drawn.step, mpp, strict=True)],
    }
    write_map(bag.store, name, {"pixels": drawn.pixels, "patches": drawn.patches}, attributes)
