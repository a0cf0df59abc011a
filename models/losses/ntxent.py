"""NT-Xent, the loss of SimCLR."""

import torch
from torch import Tensor

from models.losses.contrast import contrast


def nt_xent(
    first: Tensor,
    second: Tensor,
    all_first: Tensor,
    all_second: Tensor,
    *,
    temperature: float,
    offset: int = 0,
    block: int | None = None,
) -> Tensor:
    """Give the mean over 2 b rows of the loss of telling a patch's other view from 2 N - 2 others.

    Chen, Kornblith, Norouzi, Hinton, A Simple Framework for Contrastive Learning of Visual
    Representations, ICML 2020, arXiv 2002.05709, equation (1) and Algorithm 1: for rows i and j
    of one patch, -log[ exp(s_ij / tau) / sum over k != i of exp(s_ik / tau) ]. As in Algorithm 1
    it is the mean over 2 N rows (our choice); Google's code returns the sum of the two views'
    means, which is twice that (source).

    Args:
        first: projections of one view of this rank's patches, rows of length 1, (b, D).
        second: of the other view, (b, D).
        all_first: of all ranks, (N, D), with gradient; `first` itself where there is one rank.
        all_second: of all ranks, (N, D).
        temperature: tau.
        offset: row of `all_first` at which `first` begins: b times the rank.
        block: rows at a time; by default as many as fit into memory.

    Returns:
        Scalar, float32: of this rank; the mean over ranks is the loss of the whole batch.
    """
    own = torch.arange(offset, offset + len(first), device=first.device)
    itself = torch.cat([own, own + len(all_first)])  # row among the 2 N
    other = torch.cat([own + len(all_first), own])
    column = torch.arange(2 * len(all_first), device=first.device)
    found = contrast(
        torch.cat([first, second]),
        torch.cat([all_first, all_second]),
        other[:, None],
        temperature=temperature,
        removed=lambda rows: column == itself[rows, None],
        block=block,
    )
    return found.loss.mean()
