"""Which patches and views each step of each process sees."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.data import PatchDataset
from models.errors import DataError
from models.training.feed import Feed, Sampling, Share

ROWS = np.arange(2, 23)
SLIDES = np.repeat(np.arange(7), 3)
CPU = torch.device("cpu")


class Noise:
    """Adds a number per image, which it draws; enough to tell views apart."""

    def draw(self, count: int, rng: np.random.Generator) -> "Drawn":
        return Drawn(torch.from_numpy(rng.random((count, 2)).astype(np.float32)))

    def apply(self, pixels: Tensor, params: "Drawn") -> tuple[Tensor, ...]:
        images = pixels.permute(0, 3, 1, 2).float()
        return tuple(images + params.values[:, i, None, None, None] for i in range(2))


class Drawn:
    def __init__(self, values: Tensor) -> None:
        self.values = values

    def rows(self, indices: Any) -> "Drawn":
        return Drawn(self.values[indices])


ALONE = Share(0, 1, 1)


def feed(archive: Path, share: Share = ALONE, **changes: Any) -> Feed:
    data = PatchDataset(str(archive))
    given = {"rows": np.arange(24), "slides": data.slide_of, "batch": 8, "seed": 3} | changes
    return Feed(data, Sampling(**given), Noise(), share, CPU)


def steps(made: Feed, first: int, last: int) -> list[list[Any]]:
    batches = made.batches(first, last)
    return [made.views(batch, first + i) for i, batch in enumerate(batches)]


def test_an_epoch_has_every_row_once_apart_from_the_last_broken_batch() -> None:
    sampling = Sampling(ROWS, SLIDES, 4, seed=1)
    orders = [sampling.epoch(number) for number in range(2)]
    assert sampling.steps_per_epoch == 5
    for order in orders:
        assert order.shape == (5, 4)
        assert len(np.unique(order)) == 20
        assert set(order.ravel()) <= set(ROWS)
    assert not np.array_equal(*orders)


def test_k_per_slide_batches_hold_that_many_of_each_of_their_slides() -> None:
    sampling = Sampling(ROWS, SLIDES, 6, "k-per-slide", 3, seed=1)
    for step in sampling.epoch(0):
        counts = np.bincount(SLIDES[step - 2], minlength=7)
        assert sorted(counts[counts > 0]) == [3, 3]


def test_one_slide_batches_hold_one_slide() -> None:
    sampling = Sampling(ROWS, SLIDES, 3, "one-slide", seed=1)
    assert all(len(set(SLIDES[step - 2])) == 1 for step in sampling.epoch(4))


def test_a_batch_that_never_fills_is_refused() -> None:
    with pytest.raises(DataError, match="do not fill one batch of 22"):
        Sampling(ROWS, SLIDES, 22)
    with pytest.raises(DataError, match="no multiple of 4"):
        Sampling(ROWS, SLIDES, 6, "k-per-slide", 4)


def test_from_any_step_on_the_same_views_come(archive: Path) -> None:
    whole = steps(feed(archive), 0, 6)
    later = steps(feed(archive), 2, 6)
    assert len(whole) == 6
    for [expected], [found] in zip(whole[2:], later, strict=True):
        assert torch.equal(expected.patch, found.patch)
        assert all(torch.equal(a, b) for a, b in zip(expected.images, found.images, strict=True))


def test_processes_and_parts_share_a_step_without_changing_it(archive: Path) -> None:
    [[whole]] = steps(feed(archive), 4, 5)
    parts = [part for rank in range(2) for part in steps(feed(archive, Share(rank, 2, 2)), 4, 5)[0]]
    assert [len(part.patch) for part in parts] == [2, 2, 2, 2]
    patches = torch.cat([part.patch for part in parts])
    order = torch.argsort(patches)
    expected = torch.argsort(whole.patch)
    assert torch.equal(patches[order], whole.patch[expected])
    for view in range(2):
        images = torch.cat([part.images[view] for part in parts])
        assert torch.equal(images[order], whole.images[view][expected])
    labels = torch.cat([part.label for part in parts])
    assert torch.equal(labels[order], whole.label[expected])
