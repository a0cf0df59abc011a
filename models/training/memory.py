"""What an optimiser remembers of every parameter, by the parameters' names."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def optimizer_values(module: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Give everything that the optimiser remembers, by `<parameter>.<key>`."""
    return {
        f"{name}.{key}": value
        for name, param in module.named_parameters()
        for key, value in optimizer.state.get(param, {}).items()
    }


def restore_values(module: nn.Module, optimizer: Optimizer, values: Mapping[str, Any]) -> None:
    """Give the optimiser its memory back.

    Raises:
        KeyError: a value is of a parameter that is not there.
    """
    named = dict(module.named_parameters())
    names = {id(param): name for name, param in named.items()}
    trained = [param for group in optimizer.param_groups for param in group["params"]]
    places = {names[id(param)]: place for place, param in enumerate(trained)}
    state: dict[int, dict[str, Any]] = {}
    for full_name, value in values.items():
        name, _, key = full_name.rpartition(".")
        state.setdefault(places[name], {})[key] = _fit(value, named[name], key)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _fit(value: Any, param: Tensor, key: str) -> Any:
    """Give a value of its own memory, laid out as the parameter, which fused kernels need."""
    if not isinstance(value, Tensor):
        return value
    if key == "step" or value.shape != param.shape:
        return value.clone()
    return torch.empty_like(param, dtype=value.dtype).copy_(value)
