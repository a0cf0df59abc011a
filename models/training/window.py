"""What the loop has seen since its last line: losses, metrics, and the time spent waiting."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from models.training.method import StepLoss


@dataclass
class Window:
    """Steps since the last line.

    Attributes:
        losses, metrics: of each step, scalars.
        norm: of the last gradient.
        waited: seconds that batches were waited for.
        started: when the window was opened.
    """

    losses: list[Tensor] = field(default_factory=list)
    metrics: list[dict[str, Tensor]] = field(default_factory=list)
    norm: Tensor | None = None
    waited: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def document(self) -> dict[str, Any]:
        """Give what a resumed run needs for the same next line, as JSON values."""
        metrics = [{name: float(x) for name, x in one.items()} for one in self.metrics]
        return {"losses": [float(loss) for loss in self.losses], "metrics": metrics}

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Window":
        """Read one back."""
        metrics = [
            {name: torch.tensor(x) for name, x in one.items()} for one in document["metrics"]
        ]
        return cls([torch.tensor(loss) for loss in document["losses"]], metrics)


def mean_loss(found: list[StepLoss]) -> StepLoss:
    """Average micro-batches; what the last one watched is kept."""
    loss = torch.stack([one.loss for one in found]).mean()
    metrics = mean_metrics([one.metrics for one in found], loss.device)
    return StepLoss(loss, metrics, found[-1].watched)


def mean_metrics(found: list[dict[str, Tensor]], device: torch.device) -> dict[str, Tensor]:
    """Average by name; a metric that a step does not give is left out of that step."""
    names = {name for one in found for name in one}
    return {
        name: torch.stack(
            [one[name].detach().to(device, torch.float32) for one in found if name in one]
        ).mean()
        for name in names
    }
