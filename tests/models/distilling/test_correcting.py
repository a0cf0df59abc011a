"""Corrections within the loop: when, in which order, and on what."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.distilling.correcting import Correction
from models.training.feed import Feed, Sampling, Share
from tests.models.distilling.test_choosing import partial

__all__ = ["partial"]


class Plain:
    """No augmentation: the patch as it is."""

    def draw(self, count: int, rng: np.random.Generator) -> Any:
        self.count = count
        return self

    def rows(self, indices: Any) -> Any:
        return self

    def apply(self, pixels: torch.Tensor, params: Any) -> tuple[torch.Tensor, ...]:
        return (pixels.permute(0, 3, 1, 2).float(),)

    def follow(self, masks: torch.Tensor, params: Any) -> torch.Tensor:
        return masks


def _correction(archive: Path, every: int, steps: int) -> Correction:
    from models.data import PatchDataset

    patches = PatchDataset(str(archive))
    rows = np.arange(8, dtype=np.int64)
    sampling = Sampling(rows, patches.slide_of[rows], 3, seed=1)
    feed = Feed(patches, sampling, Plain(), Share(0, 1, 1), torch.device("cpu"))
    return Correction(feed, every, steps)


def _seen(given: Iterator[list[Any]]) -> list[list[int]]:
    return [views[0].patch.tolist() for views in given]


def test_a_pass_comes_before_step_0_and_every_k_steps(partial: Path) -> None:
    made = _correction(partial, 4, 10)
    told = {step: _seen(made.steps(step)) for step in range(10)}
    assert [step for step, seen in told.items() if seen] == [0, 4, 8]
    assert made.passes == 3
    for step in (0, 4, 8):
        assert [len(batch) for batch in told[step]] == [3, 3]  # the last two sit out
        assert len({row for batch in told[step] for row in batch}) == 6
    assert told[0] != told[4]


@pytest.mark.parametrize("begin", [4, 5, 8])
def test_a_run_that_goes_on_has_the_same_passes(partial: Path, begin: int) -> None:
    whole, resumed = _correction(partial, 4, 10), _correction(partial, 4, 10)
    undisturbed = {step: _seen(whole.steps(step)) for step in range(10)}
    for step in range(begin, 10):
        assert _seen(resumed.steps(step)) == undisturbed[step]
