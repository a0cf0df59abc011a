"""Banks of FCL: momentum features with the partition of each, and what is drawn of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tiling.epochs import Indices


class Bank(NamedTuple):
    """Features of patches and where in their volume or slide these lie; nothing else of them.

    Attributes:
        features: rows of length 1, `(M, D)`.
        partition: ordered class of each, int64 `(M,)`.
    """

    features: Tensor
    partition: Tensor

    @property
    def size(self) -> int:
        """Entries."""
        return len(self.partition)

    def to(self, device: torch.device) -> "Bank":
        """Copy to a device."""
        return Bank(self.features.to(device), self.partition.to(device))

    def take(self, rows: Tensor) -> "Bank":
        """Give some entries."""
        return Bank(self.features[rows], self.partition[rows])


def empty_bank(features: int) -> Bank:
    """Give a bank without entries."""
    return Bank(torch.zeros(0, features), torch.zeros(0, dtype=torch.int64))


def join_banks(banks: Sequence[Bank]) -> Bank:
    """Put banks, at least one, behind each other."""
    return Bank(
        torch.cat([bank.features for bank in banks]), torch.cat([bank.partition for bank in banks])
    )


def draw_entries(bank: Bank, count: int, generator: torch.Generator) -> Bank:
    """Draw Q' of METHODS 9.2: `count` entries, uniformly and none twice; all where there are fewer.

    Args:
        bank: Q, on any device.
        count: K.
        generator: of the CPU.
    """
    if count >= bank.size:
        return bank
    rows = torch.randperm(bank.size, generator=generator)[:count]
    return bank.take(rows.to(bank.partition.device))


def balanced_rows(partition: NDArray[np.int64], most: int, rng: np.random.Generator) -> Indices:
    """Choose the patches of a bank, balanced over partitions (METHODS 9.4, our choice).

    Partitions give one patch each in turn until there are enough, or none are left; patches of
    unknown partition, -1, are never taken.

    Args:
        partition: of all patches, (N,).
        most: entries.
        rng: of the choice.

    Returns:
        Rows, sorted.
    """
    order = rng.permutation(len(partition))
    order = order[partition[order] >= 0]
    own = partition[order]
    turn = np.empty(len(order), np.int64)
    for one in np.unique(own):
        places = np.flatnonzero(own == one)
        turn[places] = np.arange(len(places))
    chosen = order[np.lexsort((own, turn))[:most]]
    return np.sort(chosen).astype(np.int64)
