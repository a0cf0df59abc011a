"""The momentum twin: a copy of networks that follows them by a moving average of parameters."""

import copy
import math

import torch
from torch import Tensor, nn

from models.ssl.settings import MomentumSchedule


def twin_of(networks: nn.Module) -> nn.Module:
    """Copy networks; no gradient reaches the copy, whose batch statistics are its own."""
    return copy.deepcopy(networks).requires_grad_(requires_grad=False)


def momentum_at(progress: float, start: float, schedule: MomentumSchedule) -> float:
    """Give m at a progress t/T: 1 - (1 + cos(pi t/T)) / 2 (1 - m0), or m0 throughout.

    METHODS 3 (source, moco-v3).
    """
    if schedule == "constant":
        return start
    return 1 - (1 + math.cos(math.pi * progress)) / 2 * (1 - start)


@torch.no_grad()
def follow(twin: nn.Module, networks: nn.Module, momentum: float) -> None:
    """Move the twin's parameters, theta_k <- m theta_k + (1 - m) theta_q; buffers stay its own.

    m = 1 leaves them exactly as they are, and m = 0 copies them exactly.
    """
    pairs = list(zip(twin.parameters(), networks.parameters(), strict=True))
    own: list[Tensor] = [parameter for parameter, _ in pairs]
    followed: list[Tensor] = [parameter for _, parameter in pairs]
    torch._foreach_lerp_(own, followed, 1 - momentum)  # one kernel for many, on a GPU
