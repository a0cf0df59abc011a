"""Fixed positions of the patches of a vision transformer."""

import torch
from torch import Tensor

TEMPERATURE = 10_000.0


def sincos_positions(rows: int, columns: int, dim: int) -> Tensor:
    """Give two-dimensional sine-cosine positions, zero for the class token (MoCo v3).

    Chen, Xie, He, An Empirical Study of Training Self-Supervised Vision Transformers, ICCV 2021,
    arXiv 2104.02057: a quarter of the channels each for sine and cosine of either coordinate,
    frequencies 10000^(-4 i / dim). The published code counts the first coordinate along the first
    axis of an `ij` grid and reads the flattened grid as rows.

    Args:
        rows: of patches.
        columns: of patches.
        dim: a multiple of 4.

    Returns:
        float32 (1, 1 + rows * columns, dim).
    """
    quarter = dim // 4
    frequencies = TEMPERATURE ** -(torch.arange(quarter, dtype=torch.float32) / quarter)
    first, second = torch.meshgrid(
        torch.arange(columns, dtype=torch.float32),
        torch.arange(rows, dtype=torch.float32),
        indexing="ij",
    )
    along = first.flatten()[:, None] * frequencies  # (patches, quarter)
    across = second.flatten()[:, None] * frequencies
    patches = torch.cat([along.sin(), along.cos(), across.sin(), across.cos()], dim=1)
    return torch.cat([torch.zeros(1, dim), patches])[None]
