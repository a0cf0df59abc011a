"""Random views of slices of one channel: mirrored, bent, turned, enlarged, cut (METHODS 9.4)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

MIRROR = 0.5
"""Chance to mirror each axis (our choice; the source names no chance)."""
BENT = 0.67
"""Share that is bent, turned and scaled; the others are cut (source, sister code)."""
SCALES = (0.7, 1.3)
"""Of the bent (source, sister code)."""
KNOTS = 4
"""Knots of the elastic field along each axis (our choice)."""
BEND = 0.06
"""Deviation of a knot, as a share of half the side (our choice)."""
CUT = 0.8
"""Side of a random crop, as a share of the canvas, brought back to its size (our choice)."""
UPRIGHT = (0.7, 1.0)
"""Side of the square that turns are made of, as shares of the slice's shorter side (our choice)."""
TURNS = 4


class Warps(NamedTuple):
    """Where B views look in their slices; coordinates from -1 to 1 over the canvas, (x, y).

    Attributes:
        matrix: from the view to the slice, `(B, 2, 3)`.
        knots: added to that on a coarse lattice, `(B, KNOTS, KNOTS, 2)`; 0 where nothing bends.
    """

    matrix: NDArray[np.float32]
    knots: NDArray[np.float32]


def draw_warps(count: int, rng: np.random.Generator) -> Warps:
    """Draw the views of METHODS 9.4."""
    bent = rng.random(count) < BENT
    angle = np.where(bent, rng.uniform(0, 2 * np.pi, count), 0.0)
    scale = np.where(bent, rng.uniform(*SCALES, count), 1 / CUT)
    shift = rng.uniform(-(1 - CUT), 1 - CUT, (count, 2)) * ~bent[:, None]
    mirror = np.where(rng.random((count, 2)) < MIRROR, -1.0, 1.0)
    knots = rng.normal(0, BEND, (count, KNOTS, KNOTS, 2)) * bent[:, None, None, None]
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    turn = np.stack([np.stack([cosine, -sine], 1), np.stack([sine, cosine], 1)], 1)  # (B, 2, 2)
    matrix = np.concatenate([turn * mirror[:, None, :], shift[:, :, None]], axis=2)
    return Warps(matrix.astype(np.float32), knots.astype(np.float32))


def apply_warps(images: Tensor, warps: Warps, *, nearest: bool = False) -> Tensor:
    """Make views, (B, C, S, S) of images (B, C, S, S); 0 outside.

    Args:
        images: float32.
        warps: B of them.
        nearest: take the nearest pixel, as classes need it, not the bilinear mean.
    """
    device, side = images.device, list(images.shape[-2:])
    matrix = torch.from_numpy(warps.matrix).to(device)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    if warps.knots.any():
        knots = torch.from_numpy(warps.knots).to(device).permute(0, 3, 1, 2)
        bent = functional.interpolate(knots, side, mode="bicubic", align_corners=True)
        grid = grid + bent.permute(0, 2, 3, 1)
    mode = "nearest" if nearest else "bilinear"
    return functional.grid_sample(images, grid, mode=mode, align_corners=False)


def two_views(images: Tensor, extent: Tensor, rng: np.random.Generator) -> tuple[Tensor, ...]:
    """Give two views of each slice, of one law."""
    del extent
    return tuple(apply_warps(images, draw_warps(len(images), rng)) for _ in range(2))


def four_turns(images: Tensor, extent: Tensor, rng: np.random.Generator) -> tuple[Tensor, ...]:
    """Give the four quarter turns of a square from within each slice (METHODS 6).

    The square never reaches beyond the slice, so that no edge of the canvas tells the turn. It is
    mirrored left to right, never up to down.
    """
    count, side = len(images), images.shape[-1]
    reach = (extent.numpy() - 1) / side  # to the middle of the outermost pixels, (height, width)
    half = reach.min(axis=1) * rng.uniform(*UPRIGHT, count)
    room = np.maximum(reach[:, ::-1] - half[:, None], 0)  # (x, y)
    shift = rng.uniform(-1, 1, (count, 2)) * room
    flip = np.where(rng.random(count) < MIRROR, -1.0, 1.0)
    matrix = np.zeros((count, 2, 3), np.float32)
    matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, :, 2] = half * flip, half, shift
    knots = np.zeros((count, KNOTS, KNOTS, 2), np.float32)
    upright = apply_warps(images, Warps(matrix, knots))
    return tuple(torch.rot90(upright, k, (2, 3)) for k in range(TURNS))


MakeViews = Callable[[Tensor, Tensor, np.random.Generator], tuple[Tensor, ...]]
