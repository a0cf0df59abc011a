"""Where tensors live. The maths of this package never asks."""

import torch

from models.errors import ModelError


def choose_device(name: str) -> torch.device:
    """Give the device of that name; `auto` is the first GPU, or the CPU where there is none.

    Raises:
        ModelError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as err:  # torch without CUDA asserts
        raise ModelError(
            f"no device {name!r} here; use auto, cpu, or cuda where there is one"
        ) from err
    return device
