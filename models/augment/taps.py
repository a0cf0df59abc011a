"""Weighted sums of a picture's rows: what resampling and blurring have in common.

Both are separable: they mix rows, then columns; a picture's columns are the rows of its transpose.
Each row of the output is a sum of K rows of the input. `embedding_bag` is just that: on a CPU its
kernel works on whole rows at a time, with the weights of every picture its own, and it takes a
small part of the time of a product with (mostly zero) weight matrices.
"""

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import embedding_bag


class Taps(NamedTuple):
    """Which rows make each row of the output.

    Attributes:
        rows: numbers of input rows, counted through all planes of all pictures, int32
            `(n, ..., out, K)`.
        weights: float32, of the same shape.
    """

    rows: Tensor
    weights: Tensor

    @classmethod
    def of(cls, first: Tensor, within: Tensor, weights: Tensor) -> "Taps":
        """Lay taps out for planes.

        Args:
            first: number of each plane's first row, `(n, ..., 1, 1)`.
            within: rows of a plane, `(n, out, K)` with as many dimensions as `first`.
            weights: float32, of the same shape.
        """
        rows = (first + within).int()
        return cls(rows, weights.expand(rows.shape).contiguous())

    def part(self, pictures: slice) -> "Taps":
        """Give the taps of some pictures."""
        return Taps(self.rows[pictures], self.weights[pictures])


def mix_rows(planes: Tensor, taps: Taps) -> Tensor:
    """Give the weighted sums, contiguous (n, ..., rows, columns) -> (n, ..., out, columns)."""
    width, columns = taps.rows.shape[-1], planes.shape[-1]
    mixed = embedding_bag(
        taps.rows.view(-1, width),
        planes.view(-1, columns),
        mode="sum",
        per_sample_weights=taps.weights.view(-1, width),
    )
    return mixed.view(*taps.rows.shape[:-1], columns)


def transposed(pictures: Tensor) -> Tensor:
    """Swap rows and columns, in memory too."""
    return pictures.transpose(2, 3).contiguous()
