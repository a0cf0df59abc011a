"""What a bank holds and what is drawn of it."""

import numpy as np
import torch

from models.ssl.bank import Bank, balanced_rows, draw_entries, empty_bank, join_banks


def bank(size: int, start: int = 0) -> Bank:
    features = torch.arange(start, start + size, dtype=torch.float32)[:, None].expand(-1, 3)
    return Bank(features, torch.arange(size) % 4)


def test_entries_are_drawn_uniformly_and_none_twice() -> None:
    whole, generator = bank(20), torch.Generator().manual_seed(0)
    counts = torch.zeros(20)
    for _ in range(2000):
        drawn = draw_entries(whole, 5, generator).features[:, 0].long()
        assert len(drawn.unique()) == 5
        counts[drawn] += 1
    assert (counts / 2000 - 0.25).abs().max() < 0.05


def test_all_entries_are_taken_where_there_are_no_more() -> None:
    assert draw_entries(bank(4), 4, torch.Generator()).size == 4
    assert draw_entries(empty_bank(3), 4, torch.Generator()).size == 0


def test_the_number_drawn_stays_as_sites_are_added() -> None:
    generator = torch.Generator().manual_seed(0)
    for sites in (1, 2, 5):
        joined = join_banks([bank(8, 100 * i) for i in range(sites)])
        assert draw_entries(joined, 8, generator).size == 8


def test_rows_are_balanced_over_partitions_and_unknown_ones_are_left_out() -> None:
    partition = np.array([0] * 10 + [1] * 3 + [2] * 7 + [-1] * 5)
    rows = balanced_rows(partition, 12, np.random.default_rng(0))
    counts = np.bincount(partition[rows], minlength=3)
    assert len(rows) == len(set(rows.tolist())) == 12
    assert sorted(counts.tolist()) == [3, 4, 5]
    assert counts[1] == 3
    assert (np.diff(rows) > 0).all()


def test_a_large_bank_takes_all_patches_of_known_partition() -> None:
    partition = np.array([1, -1, 0, 2])
    assert balanced_rows(partition, 99, np.random.default_rng(0)).tolist() == [0, 2, 3]
