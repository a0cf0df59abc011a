"""The loop: it ends where it should, goes on where it was, and stops at what is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from models.data import PatchDataset
from models.errors import NumericsError
from models.training.feed import Feed, Sampling, Share
from models.training.loop import Habits, Line, Loop
from models.training.method import Clock, Method, StepLoss, Views
from models.training.settings import TrainSettings
from models.training.state import latest_state
from tests.models.ssl.tiny import DIM, encoder
from tests.models.training.test_feed import CPU, Noise

EPOCHS, BATCH, PER_EPOCH = 4, 8, 3


class Brightness(Method):
    """Learns how bright a picture is, through dropout; may go wrong at a step."""

    def __init__(self, *, wrong_at: int | None = None, dull: bool = False) -> None:
        super().__init__(encoder(1, norm=True))
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(DIM, 1))
        self.wrong_at, self.dull = wrong_at, dull
        self.seen: list[tuple[int, int]] = []

    def forward(self, views: Views, prepared: Any, number: int, clock: Clock) -> StepLoss:
        self.seen.append((clock.step, number))
        images = views.images[0] / 255
        embedded = self.encoder(images)
        loss = (self.head(embedded)[:, 0] - images.mean((1, 2, 3))).square().mean()
        if clock.step == self.wrong_at:
            loss = loss * float("nan")
        watched = torch.ones_like(embedded) if self.dull else embedded.detach()
        return StepLoss(loss, {"bright": images.mean()}, watched)


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def loop(
    archive: Path,
    folder: Path,
    method: Method,
    lines: list[Line],
    *,
    accumulate: int = 1,
    log_steps: int = 1,
    **habits: Any,
) -> Loop:
    data = PatchDataset(str(archive))
    sampling = Sampling(np.arange(24), data.slide_of, BATCH, seed=3)
    feed = Feed(data, sampling, Noise(), Share(0, 1, accumulate), CPU)
    settings = TrainSettings(
        EPOCHS, BATCH, accumulate, base_lr=0.01, scale_lr=False, warmup_epochs=1, clip=1.0
    )
    kept = Habits(folder, "me", seed=2, log_steps=log_steps, **habits)
    return Loop(fabric(), method.train(), feed, settings, kept, tell=lines.append)


def never() -> bool:
    return False


def after(count: int) -> Callable[[], bool]:
    """Ask to stop when it has been asked so often."""
    asked = iter(range(10**6))
    return lambda: next(asked) + 1 >= count


def weights(method: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in method.state_dict().items()}


@pytest.mark.parametrize("every", [1, 4])
def test_a_stopped_run_goes_on_to_the_same_weights_and_the_same_curve(
    archive: Path, tmp_path: Path, every: int
) -> None:
    straight, lines = Brightness(), list[Line]()
    assert loop(archive, tmp_path / "a", straight, lines, log_steps=every).run(never)
    first, second, told = Brightness(), Brightness(), list[Line]()
    assert not loop(archive, tmp_path / "b", first, told, log_steps=every).run(after(5))
    rest = loop(archive, tmp_path / "b", second, told, log_steps=every)
    assert rest.step == 5
    assert rest.run(never)
    ours, theirs = weights(straight), weights(second)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)

    measured = ("patches_per_s", "waiting")
    ours, theirs = (
        [{name: x for name, x in line.items() if name not in measured} for line in found]
        for found in (lines, told)
    )
    assert ours == theirs
    assert next(line["lr"] for line in lines if line["kind"] == "step") == 0.0
    assert sum(line["kind"] == "step" for line in lines) == (12 if every == 1 else 7)


def test_every_epoch_has_its_line(archive: Path, tmp_path: Path) -> None:
    lines: list[Line] = []
    loop(archive, tmp_path, Brightness(), lines).run(never)
    epochs = [line for line in lines if line["kind"] == "epoch"]
    assert [line["step"] for line in epochs] == [3, 6, 9, 12]
    for number, line in enumerate(epochs):
        of_steps = [x["loss"] for x in lines if x["kind"] == "step" and x["epoch"] == number]
        assert line["loss"] == pytest.approx(np.mean(of_steps))
        assert line["effective_rank"] > 1


def test_parts_of_a_step_come_one_after_the_other_and_step_once(
    archive: Path, tmp_path: Path
) -> None:
    method = Brightness()
    loop(archive, tmp_path, method, [], accumulate=4).run(never)
    assert method.seen == [(s, n) for s in range(EPOCHS * PER_EPOCH) for n in range(4)]


def test_nan_ends_the_run_and_leaves_the_state_before_it(archive: Path, tmp_path: Path) -> None:
    method = Brightness(wrong_at=7)
    failing = loop(archive, tmp_path, method, [], save_seconds=0.0)
    with pytest.raises(NumericsError, match="nan"):
        failing.run(never)
    kept = latest_state(tmp_path, "me")
    assert kept is not None
    assert kept.name == "state-7.safetensors"
    again = Brightness()
    resumed = loop(archive, tmp_path, again, [])
    assert resumed.step == 7
    assert all(torch.isfinite(tensor).all() for tensor in weights(again).values())
    assert resumed.run(never)


def test_a_state_of_another_run_is_not_taken_up(archive: Path, tmp_path: Path) -> None:
    loop(archive, tmp_path, Brightness(), [], save_seconds=0.0).run(after(2))
    data = PatchDataset(str(archive))
    feed = Feed(data, Sampling(np.arange(24), data.slide_of, BATCH), Noise(), Share(0, 1, 1), CPU)
    other = Habits(tmp_path, "another")
    made = Loop(fabric(), Brightness(), feed, TrainSettings(2, BATCH), other, tell=[].append)
    assert made.step == 0


def test_embeddings_that_are_all_alike_end_the_run_or_are_only_told(
    archive: Path, tmp_path: Path
) -> None:
    with pytest.raises(NumericsError, match="collapsed in epoch"):
        loop(archive, tmp_path / "a", Brightness(dull=True), []).run(never)
    lines: list[Line] = []
    going_on = loop(archive, tmp_path / "b", Brightness(dull=True), lines, stop_on_collapse=False)
    assert going_on.run(never)
    assert any("collapsed" in line["text"] for line in lines if line["kind"] == "note")


def test_the_global_stream_is_left_as_it_was(archive: Path, tmp_path: Path) -> None:
    torch.manual_seed(11)
    expected = torch.get_rng_state()
    loop(archive, tmp_path, Brightness(), []).run(never)
    assert torch.equal(torch.get_rng_state(), expected)
