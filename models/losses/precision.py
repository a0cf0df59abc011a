"""Similarities and losses are computed in float32, whatever the networks use (METHODS 2.5)."""

import torch
from torch import Tensor
from torch.nn import functional


def full_precision(near: Tensor) -> torch.autocast:
    """Give a context without autocast on the device of a tensor."""
    return torch.autocast(near.device.type, enabled=False)


def widen(tensor: Tensor) -> Tensor:
    """Give half precision as float32, and what is wider as it is."""
    return tensor.float() if tensor.dtype.itemsize < torch.float32.itemsize else tensor


def unit_rows(vectors: Tensor) -> Tensor:
    """Scale rows to length 1, in float32 or wider, (n, D); a row of zeros stays one."""
    with full_precision(vectors):
        return functional.normalize(widen(vectors), dim=1)
