"""Trains one model on one fold: epochs, early stopping, and the best weights kept."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.errors import LabelsError, NumericsError
from models.mil.cohort import MilBag
from models.mil.losses import class_weights, weighted_cross_entropy
from models.mil.model import MilModel
from models.mil.predict import classify
from models.mil.settings import FitSettings
from models.mil.source import BagSource
from models.scores import auroc

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Epoch:
    """What came of one epoch; `best` where its weights are the best so far."""

    epoch: int
    lr: float
    train_loss: float
    validation_loss: float
    validation_auroc: float | None
    best: bool


@dataclass
class Fit:
    """A trained model.

    Attributes:
        state: the best weights, on the CPU.
        history: every epoch.
    """

    state: dict[str, Tensor] = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept."""
        return max(known.epoch for known in self.history if known.best)


@dataclass(frozen=True)
class Task:
    """What a fold learns from.

    Attributes:
        train, validation: bags with labels and patches.
        classes: C.
        source: reads the bags.
        seed: of this fold.
        device: where the model is.
    """

    train: Sequence[MilBag]
    validation: Sequence[MilBag]
    classes: int
    source: BagSource
    seed: int
    device: torch.device


def fit(
    model: MilModel,
    task: Task,
    settings: FitSettings,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Fit:
    """Train until the monitored value stops getting better; `model` ends with the best weights.

    The same seed gives the same weights bit for bit on the CPU with the same number of threads.

    Raises:
        LabelsError: a class is missing in the training bags, or AUROC cannot be monitored.
        NumericsError: a loss or an embedding is NaN or infinite.
    """
    model.to(task.device)
    weights = _weights(task, settings).to(task.device)
    steps = _steps(task, settings)
    optimizer, schedule = _optimizer(model, settings, steps * settings.epochs)
    found, stopper = Fit(), _Stopper(settings)
    with _seeded(task.seed, task.device):
        for epoch in range(settings.epochs):
            lr = float(optimizer.param_groups[0]["lr"])
            train_loss = _train_epoch(model, task, settings, (optimizer, schedule, weights), epoch)
            loss, area = _validate(model, task, weights)
            best = stopper.is_better(loss, area)
            if best:
                found.state = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
            found.history.append(Epoch(epoch, lr, train_loss, loss, area, best))
            on_epoch(found.history[-1])
            if stopper.should_stop(epoch):
                break
    model.load_state_dict(found.state)
    return found


class _Stopper:
    """Early stopping; the weights are kept by the same value that it watches."""

    def __init__(self, settings: FitSettings) -> None:
        self._settings = settings
        self._best: float | None = None
        self._waited = 0

    def is_better(self, loss: float, area: float | None) -> bool:
        """Take note of an epoch; the first one is always the best so far."""
        if self._settings.monitor == "auroc" and area is None:
            raise LabelsError(
                "the validation bags of a fold hold one class only, so their AUROC cannot be "
                "watched; use --monitor loss, or more patients"
            )
        value = -loss if self._settings.monitor == "loss" else float(area or 0.0)
        better = self._best is None or value > self._best + self._settings.min_delta
        self._best = value if better else self._best
        self._waited = 0 if better else self._waited + 1
        return better

    def should_stop(self, epoch: int) -> bool:
        """Whether patience is at its end, after epoch number `epoch` from 0."""
        return epoch + 1 >= self._settings.min_epochs and self._waited >= self._settings.patience


def _weights(task: Task, settings: FitSettings) -> Tensor:
    weights = class_weights([bag.label for bag in task.train], task.classes)
    return weights if settings.balance == "weights" else torch.ones_like(weights)


def _steps(task: Task, settings: FitSettings) -> int:
    """Steps of an epoch; bags that do not fill a last batch wait for the next epoch's shuffle."""
    return max(1, len(task.train) // settings.batch)


def _optimizer(
    model: nn.Module, settings: FitSettings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    kind = torch.optim.AdamW if settings.decoupled else torch.optim.Adam
    optimizer = kind(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    if settings.schedule == "one-cycle":
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.lr, total_steps=steps)
        return optimizer, cycle
    return optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed dropout, which has no generator of its own; the caller's random state comes back."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _train_epoch(
    model: MilModel,
    task: Task,
    settings: FitSettings,
    parts: tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, Tensor],
    epoch: int,
) -> float:
    optimizer, schedule, weights = parts
    model.train()
    losses = []
    for bags, mask, labels in _batches(task, settings, epoch):
        output = model(bags, mask)
        loss = model.loss(output, labels, weights, mask)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    mean = float(np.mean(losses))
    if not np.isfinite(mean):
        raise NumericsError(f"the training loss is {mean} in epoch {epoch}; use a smaller --lr")
    return mean


def _batches(
    task: Task, settings: FitSettings, epoch: int
) -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
    generator = np.random.default_rng([task.seed, epoch])
    order = _order(task, settings, generator)
    for step in range(_steps(task, settings)):
        chosen = [task.train[i] for i in order[step * settings.batch : (step + 1) * settings.batch]]
        rows = [_some(task.source.tensor(bag), settings.max_patches, generator) for bag in chosen]
        bags, mask = pad(rows)
        labels = torch.tensor([bag.label for bag in chosen], device=task.device)
        yield bags.to(task.device), None if mask is None else mask.to(task.device), labels


def _order(task: Task, settings: FitSettings, generator: np.random.Generator) -> Rows:
    """Every bag once in random order, or drawn so that classes are equally frequent."""
    count = len(task.train)
    if settings.balance != "sampling":
        return generator.permutation(count)
    labels = np.array([bag.label for bag in task.train])
    chance = 1 / np.bincount(labels)[labels]
    return generator.choice(count, count, p=chance / chance.sum())


def _some(rows: Tensor, wanted: int | None, generator: np.random.Generator) -> Tensor:
    """Draw `wanted` rows without replacement; all of them where there are no more."""
    if wanted is None or len(rows) <= wanted:
        return rows
    return rows[torch.from_numpy(np.sort(generator.choice(len(rows), wanted, replace=False)))]


def pad(bags: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Stack bags (n_i, D) to (B, n, D) with zeros at their ends, and their mask (B, n).

    The mask is None where all bags are of one length.
    """
    lengths = torch.tensor([len(bag) for bag in bags])
    padded = nn.utils.rnn.pad_sequence(list(bags), batch_first=True)
    if bool((lengths == lengths[0]).all()):
        return padded, None
    return padded, torch.arange(padded.shape[1])[None] < lengths[:, None]


def _validate(model: MilModel, task: Task, weights: Tensor) -> tuple[float, float | None]:
    """Loss and mean AUROC of the validation bags, with all their patches."""
    model.eval()
    with torch.inference_mode():
        logits = torch.stack(
            [classify(model, task.source.tensor(bag), task.device)[0] for bag in task.validation]
        )
    labels = torch.tensor([bag.label for bag in task.validation])
    loss = float(weighted_cross_entropy(logits, labels, weights.cpu()))
    if not np.isfinite(loss):
        raise NumericsError(f"the validation loss is {loss}; use a smaller --lr")
    areas = [a for a in auroc(labels.numpy(), torch.softmax(logits, 1).numpy()) if a is not None]
    return loss, float(np.mean(areas)) if areas else None
