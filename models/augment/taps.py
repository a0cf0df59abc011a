"""Weighted sums of a picture's rows: what resampling and blurring have in common.

Both are separable: they mix rows, then columns; a picture's columns are the rows of its transpose.
Each row of the output is a sum of K rows of the input. `embedding_bag` is just that: on a CPU its
kernel works on whole rows at a time, with the weights of every picture its own, and it takes a
small part of the time of a product with (mostly zero) weight matrices.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


class Taps(NamedTuple):
    """Which rows make each row of the output.

    Attributes:
        rows: numbers of input rows, counted through all planes of all pictures, int64
            `(n, C, out, K)`.
        weights: float32, of the same shape.
    """

    rows: Tensor
    weights: Tensor

    def part(self, rows: slice) -> "Taps":
        """Give the taps of some pictures."""
        return Taps(self.rows[rows], self.weights[rows])


def mix_rows(pictures: Tensor, taps: Taps) -> Tensor:
    """Give the weighted sums, contiguous (N, 3, rows, columns) -> (n, 3, out, columns)."""
    width, columns = taps.rows.shape[-1], pictures.shape[-1]
    mixed = embedding_bag(
        taps.rows.view(-1, width),
        pictures.view(-1, columns),
        mode="sum",
        per_sample_weights=taps.weights.view(-1, width),
    )
    return mixed.view(*taps.rows.shape[:-1], columns)


def transposed(pictures: Tensor) -> Tensor:
    """Swap rows and columns, in memory too."""
    return pictures.transpose(2, 3).contiguous()


def first_rows(count: int, pictures: Tensor) -> Tensor:
    """Give the number of the first row of each plane of `count` pictures, (count, 3, 1, 1)."""
    planes = torch.arange(3 * count, device=pictures.device)
    return (planes * pictures.shape[2]).view(count, 3, 1, 1)
