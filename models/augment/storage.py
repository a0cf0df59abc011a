"""Rows of tensors, moved the way that is quick on each device."""

import numpy as np
import torch
from torch import Tensor

from models.augment.params import Bools, Ints


def new_pictures(count: int, side_px: int, device: torch.device) -> Tensor:
    """Give room for pictures, float32 (count, 3, side, side), not set."""
    shape = (count, 3, side_px, side_px)
    if device.type == "cpu":
        # numpy asks for huge pages: without, fresh memory takes as long as half the augmentation
        return torch.from_numpy(np.empty(shape, np.float32))
    return torch.empty(shape, device=device)


def take_rows(tensor: Tensor, rows: Ints) -> Tensor:
    """Give a copy of some rows."""
    return tensor.index_select(0, torch.from_numpy(rows).to(tensor.device))


def put_rows(tensor: Tensor, rows: Ints, values: Tensor) -> None:
    """Replace rows."""
    if tensor.device.type == "cpu":
        # `index_copy_` goes element by element: six times as long
        for row, value in zip(rows.tolist(), values, strict=True):
            tensor[row] = value
    else:
        tensor.index_copy_(0, torch.from_numpy(rows).to(tensor.device), values)


def chosen_rows(chosen: Bools) -> Ints:
    """Give the numbers of the rows that are chosen."""
    return np.flatnonzero(chosen).astype(np.int64)
