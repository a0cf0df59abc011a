"""The one training loop: steps of any method, with logs, checkpoints and guards around them."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm

from models.errors import NumericsError
from models.training.feed import Feed
from models.training.guard import CollapseGuard, require_finite
from models.training.method import Clock, Learner, StepLoss
from models.training.optimizers import build_optimizer
from models.training.schedule import learning_rate, set_learning_rate
from models.training.settings import TrainSettings
from models.training.state import latest_state, load_state, prune_states, save_state
from models.training.window import Window, mean_loss, mean_metrics

if TYPE_CHECKING:
    from lightning_fabric import Fabric

EPOCH_SHARE = 0.1
"""At the end of an epoch a state is saved sooner, so that a run goes on from where epochs begin."""

Line = dict[str, Any]
Stop = Callable[[], bool]


class Judge(Protocol):
    """Scores what is trained in the middle of training; None where it has nothing to say.

    The method is the one that the loop trains, so a judge may ask for the kind that it knows.

    Attributes:
        name: of the score in the lines of epochs.
    """

    name: ClassVar[str]

    def __call__(self, method: Any, epoch: int) -> float | None:
        """Give a score, higher is better."""


class Interlude(Protocol):
    """Steps of the optimiser on other data than the feed's, before some steps of the run.

    They are no steps of the run: they have its rate at that point, and are done again by a run that
    goes on from a state before them. They depend on the number of the step alone.

    Attributes:
        name: kind of the lines that tell of them.
    """

    name: ClassVar[str]

    def steps(self, step: int) -> Iterator[list[Any]]:
        """Give the micro-batches of each step that comes before step `step` of the run."""


@dataclass(frozen=True)
class Habits:
    """What the loop does beside learning.

    Attributes:
        folder: where states are kept.
        identity: of the run; states of another are not taken up.
        seed: of dropout, and of whatever else draws from torch's stream.
        log_steps: steps from one line to the next.
        save_seconds: a state at least that often, and after an epoch ten times sooner.
        stop_on_collapse: end the run when embeddings become alike; else only say so.
    """

    folder: Path
    identity: str
    seed: int = 0
    log_steps: int = 10
    save_seconds: float = 600.0
    stop_on_collapse: bool = True


class Loop:
    """Trains a method from where its folder says to the end.

    Args:
        fabric: launched; says which device and how many processes.
        method: on the CPU; is moved and trained in place.
        feed: of this process.
        settings: of optimisation.
        habits: of the loop.
        tell: takes lines, of rank 0 alone.
        judge: scores the encoder after an epoch.
        interlude: steps on other data between those of the feed.
    """

    def __init__(  # noqa: PLR0913 - the last three by keyword
        self,
        fabric: "Fabric",
        method: Learner,
        feed: Feed,
        settings: TrainSettings,
        habits: Habits,
        *,
        tell: Callable[[Line], None],
        judge: Judge | None = None,
        interlude: Interlude | None = None,
    ) -> None:
        self.fabric, self.feed, self.settings, self.habits = fabric, feed, settings, habits
        self._tell = tell if fabric.is_global_zero else (lambda _: None)
        self._judge, self._interlude = judge, interlude
        self.method = method.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = build_optimizer(self.method, settings)
        about = self._resume(optimizer)
        self.step = int(about["step"])
        self._model, self._optimizer = fabric.setup(self.method, optimizer)
        self._guard = CollapseGuard(bad_looks=int(about["bad_looks"]))
        self._window = Window.of(about["window"])
        self._epoch_loss = float(about["epoch_loss"])
        self._saved = time.monotonic()

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.settings.epochs * self.feed.sampling.steps_per_epoch

    def run(self, stop: Stop) -> bool:
        """Train; gives whether it came to the end, or was stopped and may go on later.

        Raises:
            NumericsError: a loss or a gradient is NaN or infinite, or embeddings collapsed.
        """
        cuda = [self.fabric.device] if self.fabric.device.type == "cuda" else []
        with torch.random.fork_rng(cuda):
            self._train(stop)
        return self.step == self.steps

    def _train(self, stop: Stop) -> None:
        batches = self.feed.batches(self.step, self.steps)
        while self.step < self.steps:
            waiting = time.perf_counter()
            batch = next(batches)
            self._window.waited += time.perf_counter() - waiting
            clock = self._clock()
            self._do_interlude(clock)
            views = self.feed.views(batch, self.step)
            self._after(self._learn(views, clock), clock)
            if self._asked_to_stop(stop):
                self._save()
                return

    def _clock(self) -> Clock:
        epoch = self.step // self.feed.sampling.steps_per_epoch
        return Clock(self.step, self.steps, epoch, self.settings.epochs)

    def _do_interlude(self, clock: Clock) -> None:
        """Do the steps that come before one of the run's own; a state never lies among them."""
        if self._interlude is None:
            return
        given = self._interlude.steps(clock.step)
        found = [
            self._learn(views, clock._replace(between=number)) for number, views in enumerate(given)
        ]
        if not found:
            return
        loss = torch.stack([one.loss.float() for one in found]).mean()
        mean = float(self.fabric.all_reduce(loss))  # type: ignore[arg-type]  # a tensor stays one
        require_finite(mean, clock.step, f"loss of the {self._interlude.name}")
        about = {"kind": self._interlude.name, "step": self.step + 1, "epoch": clock.epoch}
        self._tell(about | {"steps": len(found), "loss": mean})

    def _learn(self, views: list[Any], clock: Clock) -> StepLoss:
        """Do one step of the optimiser; gives means over micro-batches."""
        torch.manual_seed(_step_seed(self.habits.seed, clock, self.fabric.global_rank))
        rate = learning_rate(self.settings, clock.step, self.feed.sampling.steps_per_epoch)
        set_learning_rate(self._optimizer, rate)
        with torch.no_grad(), self.fabric.autocast():
            prepared = self.method.begin_step(views, clock)
        found: list[StepLoss] = []
        for number, part in enumerate(views):
            waits = number < len(views) - 1 and self.fabric.world_size > 1
            with self.fabric.no_backward_sync(self._model) if waits else nullcontext():
                one: StepLoss = self._model(part, prepared, number, clock)
                self.fabric.backward(one.loss / len(views))
            found.append(StepLoss(one.loss.detach(), one.metrics, one.watched))
        self.method.end_gradients(clock)
        self._window.norm = self._clip()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.method.end_step(prepared, clock)
        return mean_loss(found)

    def _clip(self) -> Tensor:
        trained = [p for p in self.method.parameters() if p.grad is not None]
        if self.settings.clip is not None:
            return clip_grad_norm_(trained, self.settings.clip)
        return get_total_norm([p.grad for p in trained if p.grad is not None])

    def _after(self, found: StepLoss, clock: Clock) -> None:
        """Log, watch and save, when it is time."""
        self.step += 1
        self._window.losses.append(found.loss)
        self._window.metrics.append(found.metrics)
        ends = self.step % self.feed.sampling.steps_per_epoch == 0
        if not (ends or self.step % self.habits.log_steps == 0 or self.step == 1):
            return
        self._log(clock)
        self._guard.look(found.watched, warming_up=clock.epoch < self.settings.warmup_epochs)
        if ends:
            self._end_epoch(clock)
        age = time.monotonic() - self._saved
        due = age >= self.habits.save_seconds * (EPOCH_SHARE if ends else 1)
        if self.step < self.steps and self._together(due):
            self._save()

    def _log(self, clock: Clock) -> None:
        """Write a line of the means since the last one.

        Raises:
            NumericsError: something is not finite; the last state that was saved is still good.
        """
        window, self._window = self._window, Window()
        steps = len(window.losses)
        device = self.fabric.device
        means = {"loss": torch.stack([x.to(device) for x in window.losses]).mean()}
        means |= mean_metrics(window.metrics, device)
        names = sorted(means)
        values = self.fabric.all_reduce(torch.stack([means[n].float() for n in names]))
        told = dict(zip(names, values.tolist(), strict=True))  # type: ignore[union-attr]
        norm = float(window.norm) if window.norm is not None else 0.0
        require_finite(told["loss"], clock.step)
        require_finite(norm, clock.step, "norm of the gradient")
        seconds = time.perf_counter() - window.started
        self._epoch_loss += told["loss"] * steps
        self._tell(
            {
                "kind": "step",
                "step": self.step,
                "epoch": clock.epoch,
                "loss": told.pop("loss"),
                "lr": float(self._optimizer.param_groups[0]["lr"]),
                "grad_norm": norm,
                "patches_per_s": round(steps * self.feed.sampling.batch / max(seconds, 1e-9), 2),
                "waiting": round(window.waited / max(seconds, 1e-9), 4),
                "metrics": told,
            }
        )

    def _end_epoch(self, clock: Clock) -> None:
        health = self._guard.health
        score: Line = {}
        if self._judge is not None and self.fabric.is_global_zero:
            score[self._judge.name] = self._judge(self.method, clock.epoch)
        self._tell(
            {
                "kind": "epoch",
                "step": self.step,
                "epoch": clock.epoch,
                "loss": self._epoch_loss / self.feed.sampling.steps_per_epoch,
                "std_of_best": health.std_of_best,
                "effective_rank": health.effective_rank,
                **score,
            }
        )
        self._epoch_loss = 0.0
        if self._together(self._guard.collapsed):
            self._collapse(clock)

    def _collapse(self, clock: Clock) -> None:
        health = self._guard.health
        text = (
            f"embeddings collapsed in epoch {clock.epoch}: spread {health.std_of_best:.3g} of the "
            f"best, effective rank {health.effective_rank:.3g}"
        )
        if self.habits.stop_on_collapse:
            raise NumericsError(
                f"{text}; use a lower --lr, a larger --batch or another --temperature, or go on "
                "with --on-collapse warn"
            )
        self._tell({"kind": "note", "step": self.step, "text": text})

    def _asked_to_stop(self, stop: Stop) -> bool:
        if self.fabric.world_size > 1 and self.step % self.habits.log_steps:
            return False  # asking costs a message to every process
        return self._together(stop())

    def _together(self, wish: bool) -> bool:  # noqa: FBT001 - one value, of rank 0
        """Let all processes do what rank 0 wants."""
        return wish if self.fabric.world_size == 1 else bool(self.fabric.broadcast(wish))

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            about = {
                "step": self.step,
                "identity": self.habits.identity,
                "bad_looks": self._guard.bad_looks,
                "window": self._window.document(),
                "epoch_loss": self._epoch_loss,
            }
            path = self.habits.folder / f"state-{self.step}.safetensors"
            save_state(path, self.method, self._optimizer.optimizer, about)
            prune_states(self.habits.folder)
        self._saved = time.monotonic()
        self.fabric.barrier()

    def _resume(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Take up the last state, if there is one; gives what it says about the run."""
        path = latest_state(self.habits.folder, self.habits.identity)
        if path is None:
            return {"step": 0, "bad_looks": 0, "window": Window().document(), "epoch_loss": 0.0}
        return load_state(path, self.method, optimizer)


def _step_seed(seed: int, clock: Clock, rank: int) -> int:
    """Give a seed that no other step and no other process has."""
    between = 0 if clock.between is None else 1 + clock.between
    entropy = (seed, clock.step, rank, between)
    drawn = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
    return int(drawn[0] >> np.uint64(1))
