"""Fine-tune a whole encoder with a linear layer on top, as a supervised classifier (METHODS 7).

Adam, rate 1e-4, batch 64, cross-entropy, flips; a fifth of the training patients is held out of
learning, and the epoch of the lowest loss on them is kept. All of it uses the given share of the
labels only.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import skip_init

from models.encoders.encoder import Encoder
from models.errors import NumericsError
from models.probe.cases import Cases, Indices
from models.probe.split import label_fraction
from models.probe.tensors import labels_tensor
from models.probe.tuned import Pixels, Tuned
from tiling.epochs import epoch_order
from tiling.sampling import shuffled

OnEpoch = Callable[[dict[str, Any]], None]
"""Is told of every epoch as it ends; see `Tuned.history`."""

START_STD = 0.01
"""Standard deviation of the classifier's first weights."""


@dataclass(frozen=True, slots=True)
class FinetuneSettings:
    """How the network learns.

    Attributes:
        epochs: passes over the rows.
        batch: patches of a step.
        rate: of Adam.
        held_out: share of the training patients that chooses the epoch; 0 keeps the last one.
        flips: turn each patch upside down and left to right at random.
        device: name of a torch device.
    """

    epochs: int = 100
    batch: int = 64
    rate: float = 1e-4
    held_out: float = 0.2
    flips: bool = True
    device: str = "cpu"


def finetune(
    encoder: Encoder,
    cases: Cases,
    train: Indices,
    pixels: Pixels,
    *,
    seed: int,
    settings: FinetuneSettings = FinetuneSettings(),
    on_epoch: OnEpoch = lambda _: None,
) -> Tuned:
    """Train the encoder itself; on a CPU the same seed and threads give the same weights.

    Args:
        encoder: is changed.
        cases: all labelled patches.
        train: rows that may be used.
        pixels: reads patches.
        seed: of the classifier's first weights, of the order, of the flips, and of dropout.
        settings: of learning.
        on_epoch: is told how it goes.

    Raises:
        NumericsError: the loss became NaN or infinite.
    """
    learn, hold = hold_out(cases, train, settings.held_out, seed)
    # on a 2-core CPU a ResNet trains about twice as fast in this layout
    encoder.to(settings.device).to(memory_format=torch.channels_last)
    head = _new_head(encoder.card.dim, len(cases.names), seed).to(settings.device)
    loop = _Loop(Tuned(encoder, head), labels_tensor(cases.label), pixels, settings, seed)
    devices = [torch.device(settings.device)] if settings.device.startswith("cuda") else []
    with torch.random.fork_rng(devices):  # dropout draws from the global stream
        torch.manual_seed(seed)
        history = loop.run(learn, hold, on_epoch)
    encoder.eval()
    return replace(loop.tuned, history=tuple(history))


def hold_out(cases: Cases, train: Indices, share: float, seed: int) -> tuple[Indices, Indices]:
    """Split training rows by patient into those that teach and those that choose the epoch.

    With too few patients of every class nothing is held out.
    """
    if share <= 0:
        return train, train[:0]
    learn = label_fraction(cases, train, 1 - share, unit="patient", seed=seed)
    return learn, np.setdiff1d(train, learn)


def _new_head(dim: int, classes: int, seed: int) -> nn.Linear:
    # without the usual first weights, which are drawn from the global stream
    head: nn.Linear = skip_init(nn.Linear, dim, classes)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        head.weight.normal_(0, START_STD, generator=torch.Generator().manual_seed(seed))
        head.bias.zero_()
    return head


@dataclass
class _Loop:
    tuned: Tuned
    label: Tensor
    pixels: Pixels
    settings: FinetuneSettings
    seed: int

    def run(self, learn: Indices, hold: Indices, on_epoch: OnEpoch) -> list[dict[str, Any]]:
        """Train, and go back to the best epoch."""
        modules = nn.ModuleList([self.tuned.encoder, self.tuned.head])
        parameters = [p for p in modules.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=self.settings.rate)
        best, kept = float("inf"), _copy(modules)
        history: list[dict[str, Any]] = []
        for epoch in range(self.settings.epochs):
            modules.train()
            loss = self._epoch(optimizer, learn, epoch)
            held_out = self._held_out_loss(hold) if len(hold) else None
            judged = -epoch if held_out is None else held_out  # without any the last one is best
            told = {"epoch": epoch, "loss": loss, "held_out_loss": held_out, "best": judged < best}
            if judged < best:
                best, kept = judged, _copy(modules)
            history.append(told)
            on_epoch(told)
        modules.load_state_dict(kept)
        return history

    def _epoch(self, optimizer: torch.optim.Optimizer, learn: Indices, epoch: int) -> float:
        size, total = self.settings.batch, 0.0
        order = self._order(learn, epoch)
        flips = np.random.Generator(np.random.PCG64(np.random.SeedSequence((self.seed, epoch, 1))))
        for number, pixels in enumerate(self.pixels(order, size)):
            rows = order[number * size : number * size + len(pixels)]
            chosen = flips.random((len(rows), 2)) < 0.5
            images = self.tuned.encoder.prepare(pixels.to(self.settings.device, non_blocking=True))
            logits = self.tuned.of_images(flip(images, chosen) if self.settings.flips else images)
            loss = cross_entropy(logits, self.label[rows].to(logits.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            total += float(loss.detach()) * len(rows)
            if not np.isfinite(total):
                raise NumericsError(
                    f"fine-tuning's loss is {total} in epoch {epoch}; use a lower --finetune-rate"
                )
        return total / len(order)

    def _order(self, learn: Indices, epoch: int) -> Indices:
        """Shuffle; no batch of one, which has no variance for a normalisation."""
        order = learn[
            epoch_order(lambda rng: shuffled(len(learn), rng), seed=self.seed, epoch=epoch)
        ]
        alone = len(order) > 1 and len(order) % self.settings.batch == 1
        return order[:-1] if alone else order

    def _held_out_loss(self, hold: Indices) -> float:
        logits = self.tuned.all_logits(self.pixels, hold, self.settings.batch)
        return float(cross_entropy(logits, self.label[hold]))


def flip(images: Tensor, chosen: NDArray[np.bool_]) -> Tensor:
    """Flip each image (B, 3, H, W) where its row of `chosen` (B, 2) says: rows, columns."""
    where = torch.from_numpy(chosen).to(images.device)[:, :, None, None, None]
    images = torch.where(where[:, 0], images.flip(2), images)
    return torch.where(where[:, 1], images.flip(3), images)


def _copy(modules: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in modules.state_dict().items()}
