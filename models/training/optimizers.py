"""Optimisers by name, and which parameters decay (METHODS 2.5). LARS is ours, the rest torch's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from models.training.method import Learner
from models.training.schedule import peak_rate
from models.training.settings import TrainSettings

MOMENTUM = 0.9
"""Of LARS (moco-v3)."""
TRUST = 0.001
"""Length of a LARS step as a share of the parameter's length, times the rate; of moco-v3."""
FUSED = "cuda"
"""Device whose one kernel for a whole step of Adam, AdamW and SGD is used. That of the CPU (torch
2.15) takes no heed of strides, and is wrong where a gradient lies in another order than its weight.
"""


def build_optimizer(module: nn.Module, settings: TrainSettings) -> Optimizer:
    """Give the optimiser of what is to be trained: parameters with `requires_grad`.

    Parameters with at most one dimension (biases, norms) do not decay unless `decay_all`, and LARS
    does not scale their steps by trust. What `faster` of the module names is learned at a multiple
    of the rate.

    Args:
        module: already on its device; a `Learner`, or any other.
        settings: name, peak rate and weight decay.

    Raises:
        ValueError: nothing is to be trained.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    kept = [
        group
        for times, part in _by_rate(module, trained).items()
        for group in _groups(part, settings, times)
        if group["params"]
    ]
    rate = peak_rate(settings)
    if settings.optimizer == "lars":
        return Lars(kept, rate)
    fused = all(p.device.type == FUSED for p in trained) or None  # None lets torch choose
    if settings.optimizer == "sgd":
        return SGD(kept, rate, momentum=settings.momentum, fused=fused)
    kind = AdamW if settings.optimizer == "adamw" else Adam
    return kind(kept, rate, fused=fused)


def _by_rate(module: nn.Module, trained: Sequence[Tensor]) -> dict[float, list[Tensor]]:
    """Sort parameters by what their rate is multiplied with, the plain rate first."""
    faster: Mapping[str, float] = module.faster() if isinstance(module, Learner) else {}
    of = {
        id(p): times
        for prefix, times in faster.items()
        for p in module.get_submodule(prefix).parameters()
    }
    found: dict[float, list[Tensor]] = {1.0: []}
    for p in trained:
        found.setdefault(of.get(id(p), 1.0), []).append(p)
    return found


def _groups(part: list[Tensor], settings: TrainSettings, times: float) -> list[dict[str, Any]]:
    """Give the full and the thin parameters of one rate."""
    decay = settings.weight_decay
    full: dict[str, Any] = {"params": [p for p in part if p.ndim > 1], "weight_decay": decay}
    thin: dict[str, Any] = {
        "params": [p for p in part if p.ndim <= 1],
        "weight_decay": decay if settings.decay_all else 0.0,
    }
    if settings.optimizer == "lars":
        full["trust"], thin["trust"] = TRUST, None
    return [group | ({} if times == 1 else {"times": times}) for group in (full, thin)]


class Lars(Optimizer):
    """Steps whose length follows the length of each parameter.

    Y. You, I. Gitman, B. Ginsburg, Large batch training of convolutional networks, 2017, arXiv
    1708.03888, algorithm 1. For a parameter w with gradient g:

        g' = g + decay · w          g'' = g' · trust · |w| / |g'|
        v ← momentum · v + g''      w ← w - lr · v

    Differs from the paper: as in moco-v3, |g'| is of the sum, where the paper adds the lengths of
    its two parts, and the rate is not part of v. A parameter or gradient of length 0 is not scaled.

    Args:
        groups: of parameters, each with `weight_decay` and `trust`; a trust of None does not scale.
        lr: learning rate.
        momentum: share of v that stays.
    """

    def __init__(
        self, groups: list[dict[str, Any]], lr: float, *, momentum: float = MOMENTUM
    ) -> None:
        defaults = {"lr": lr, "weight_decay": 0.0, "trust": TRUST, "momentum": momentum}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Do one step; parameters without a gradient stay."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if moved:
                self._move(moved, group)
        return loss

    def _move(self, params: list[Tensor], group: dict[str, Any]) -> None:
        change = [p.grad for p in params if p.grad is not None]
        if group["weight_decay"]:
            change = list(torch._foreach_add(change, params, alpha=group["weight_decay"]))
        if group["trust"] is not None:
            change = list(torch._foreach_mul(change, _shares(params, change, group["trust"])))
        velocities = [self._velocity(p) for p in params]
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, change)
        torch._foreach_add_(params, velocities, alpha=-group["lr"])

    def _velocity(self, param: Tensor) -> Tensor:
        state = self.state[param]
        if not state:
            state["velocity"] = torch.zeros_like(param)
        velocity: Tensor = state["velocity"]
        return velocity


def _shares(params: list[Tensor], change: list[Tensor], trust: float) -> list[Tensor]:
    """Give what each change is multiplied by, without waiting for the device."""
    lengths = torch.stack(list(torch._foreach_norm(params)))
    sizes = torch.stack(list(torch._foreach_norm(change)))
    scaled = (lengths > 0) & (sizes > 0)
    return list(torch.where(scaled, trust * lengths / sizes, 1.0).unbind())
