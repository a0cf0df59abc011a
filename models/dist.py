"""Ranks of a process group, and tensors gathered over them; one rank of one outside a group."""

from typing import Any

import torch
from torch import Tensor, distributed, nn


def is_distributed() -> bool:
    """Whether this process belongs to a group, of one process even."""
    return distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    """Number of this process in its group, 0 outside one."""
    return int(distributed.get_rank()) if is_distributed() else 0


def world_size() -> int:
    """Processes of the group, 1 outside one."""
    return int(distributed.get_world_size()) if is_distributed() else 1


def gather(tensor: Tensor) -> Tensor:
    """Join the rows of all ranks, rank after rank, (b, ...) -> (b W, ...), without gradient.

    Every rank must give the same shape, and call it as often as the others.
    """
    local = tensor.detach()
    if world_size() == 1:
        return local
    parts = [torch.empty_like(local, memory_format=torch.contiguous_format) for _ in _ranks()]
    distributed.all_gather(parts, local.contiguous())
    return torch.cat(parts)


def gather_with_grad(tensor: Tensor) -> Tensor:
    """Join the rows of all ranks as `gather`; gradients come back to the rank that gave a row.

    What comes back is the sum over the losses of all ranks, so the mean over ranks of the
    parameters' gradients is the gradient of the mean loss.
    """
    if world_size() == 1:
        return tensor
    joined: Tensor = _Gather.apply(tensor)
    return joined


def synchronize_batchnorm(module: nn.Module, device: torch.device) -> nn.Module:
    """Share batch statistics between ranks where there are several and they have GPUs.

    METHODS 2.5 (source, moco-v3). PyTorch has no such layer for CPUs; there they stay per rank. It
    is timm that converts: PyTorch would drop the activations that are part of many of timm's norms.

    Args:
        module: before it is wrapped and its optimiser is made; the same parameters are kept.
        device: of this rank.
    """
    if device.type != "cuda" or world_size() == 1:
        return module
    from timm.layers.norm_act import convert_sync_batchnorm

    converted: nn.Module = convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return converted


def _ranks() -> range:
    return range(world_size())


class _Gather(torch.autograd.Function):
    """Gather forwards; backwards each rank takes its own rows of the sum over ranks."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        ctx.rows = len(tensor)
        return gather(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous().clone()
        distributed.all_reduce(summed)
        start = rank() * ctx.rows
        return summed[start : start + ctx.rows]
