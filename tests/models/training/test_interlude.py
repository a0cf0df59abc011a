"""Steps between those of a run: when they come, at which rate, and that a resumed run has them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from models.data import PatchDataset
from models.training.feed import Feed, Sampling, Share
from models.training.loop import Habits, Line, Loop
from models.training.settings import TrainSettings
from tests.models.training.test_feed import CPU, Noise
from tests.models.training.test_loop import (
    BATCH,
    EPOCHS,
    PER_EPOCH,
    Brightness,
    after,
    fabric,
    never,
    weights,
)


class Twice:
    """Two steps on the first patches before every second step of the run."""

    name: ClassVar[str] = "extra"

    def __init__(self, feed: Feed) -> None:
        self.feed = feed

    def steps(self, step: int) -> Iterator[list[Any]]:
        if step % 2 == 0:
            for place in (step, step + 1):
                yield self.feed.views(self.feed.patches.__getitems__(np.arange(BATCH)), place)


def loop(archive: Path, folder: Path, method: Brightness, lines: list[Line]) -> Loop:
    data = PatchDataset(str(archive))
    sampling = Sampling(np.arange(24), data.slide_of, BATCH, seed=3)
    feed = Feed(data, sampling, Noise(), Share(0, 1, 1), CPU)
    settings = TrainSettings(EPOCHS, BATCH, base_lr=0.01, scale_lr=False, final_lr=1e-3)
    kept = Habits(folder, "me", seed=2, log_steps=1)
    return Loop(
        fabric(), method.train(), feed, settings, kept, tell=lines.append, interlude=Twice(feed)
    )


def test_they_come_before_their_step_and_are_no_steps_of_the_run(
    archive: Path, tmp_path: Path
) -> None:
    method, lines = Brightness(), list[Line]()
    assert loop(archive, tmp_path, method, lines).run(never)
    steps = EPOCHS * PER_EPOCH
    expected = [(step, 0) for step in range(steps) for _ in range(1 if step % 2 else 3)]
    assert method.seen == expected
    told = [line for line in lines if line["kind"] == "extra"]
    assert [line["step"] for line in told] == list(range(1, steps + 1, 2))
    assert all(line["steps"] == 2 and np.isfinite(line["loss"]) for line in told)
    assert sum(line["kind"] == "step" for line in lines) == steps


def test_a_run_that_was_stopped_before_one_has_it_once(archive: Path, tmp_path: Path) -> None:
    straight, first, second = Brightness(), Brightness(), Brightness()
    lines, told = list[Line](), list[Line]()
    assert loop(archive, tmp_path / "a", straight, lines).run(never)
    assert not loop(archive, tmp_path / "b", first, told).run(after(6))
    rest = loop(archive, tmp_path / "b", second, told)
    assert rest.step == 6
    assert rest.run(never)
    ours, theirs = weights(straight), weights(second)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    extra = [[line for line in found if line["kind"] == "extra"] for found in (lines, told)]
    assert extra[0] == extra[1]


def test_the_rate_falls_to_the_final_one(archive: Path, tmp_path: Path) -> None:
    lines = list[Line]()
    assert loop(archive, tmp_path, Brightness(), lines).run(never)
    rates = [line["lr"] for line in lines if line["kind"] == "step"]
    assert rates[0] == pytest.approx(0.01)
    assert 1e-3 < rates[-1] < 1.3e-3
