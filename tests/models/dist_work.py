"""What `test_dist` does in each of two processes."""

from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d, SyncBatchNormAct
from torch import nn

from models import dist


def work(rank: int) -> dict[str, Any]:
    rows = torch.arange(6.0).reshape(3, 2) + 10 * rank
    given = rows.clone().requires_grad_()
    joined = dist.gather_with_grad(given)
    weights = torch.arange(12.0).reshape(6, 2) * (1 + rank)
    (joined * weights).sum().backward()
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    on_gpu = dist.synchronize_batchnorm(net, torch.device("cuda"))  # moves nothing
    activated = dist.synchronize_batchnorm(BatchNormAct2d(3), torch.device("cuda"))
    return {
        "rank": dist.rank(),
        "world_size": dist.world_size(),
        "gathered": dist.gather(given),
        "transposed": dist.gather(rows.T),
        "whole_numbers": dist.gather(torch.tensor([rank, 2**60 + rank])),
        "scalar_rows": dist.gather(torch.full((1,), rank, dtype=torch.bool)),
        "joined": joined.detach(),
        "gradient": given.grad,
        "wants_gradient": dist.gather(given).requires_grad,
        "kinds": [type(module).__name__ for module in on_gpu],
        "activated": isinstance(activated, SyncBatchNormAct),
        "same_weight": on_gpu[0].weight is net[0].weight,
        "on_cpu": dist.synchronize_batchnorm(net, torch.device("cpu")) is net,
    }
