"""Rows of tensors, moved the way that is quick on each device."""

import numpy as np
import torch
from torch import Tensor

from models.augment.params import Bools, Ints

GLIBC_LARGEST = 31 * 2**20
"""Bytes, just below the largest block from which glibc learns (32 MiB, mallopt(3))."""


def keep_freed_memory(device: torch.device) -> None:
    """Make the C library keep what is freed from now on, on a CPU; it costs microseconds.

    glibc gives large blocks back to the system as soon as they are free, and every page of the next
    block is a fault: with that, a shift of hue takes five times as long. It keeps blocks that are
    smaller than one that was freed before, so one is freed here, untouched.
    """
    if device.type == "cpu":
        torch.empty(GLIBC_LARGEST, dtype=torch.uint8)


def new_pictures(count: int, side_px: int, device: torch.device) -> Tensor:
    """Give room for pictures, float32 (count, 3, side, side), not set."""
    shape = (count, 3, side_px, side_px)
    if device.type == "cpu":
        # numpy asks for huge pages; torch does not, and every 4 kB of fresh memory is a page fault
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


def put_pictures(pictures: Tensor, rows: Ints, values: Tensor, lying: Bools) -> None:
    """Replace pictures (N, 3, S, S); those that are lying are transposed."""
    if pictures.device.type == "cpu":
        for row, value, lies in zip(rows.tolist(), values, lying.tolist(), strict=True):
            pictures[row] = value.mT if lies else value
    else:
        flags = torch.from_numpy(lying).to(pictures.device)[:, None, None, None]
        put_rows(pictures, rows, torch.where(flags, values.mT, values))


def chosen_rows(chosen: Bools) -> Ints:
    """Give the numbers of the rows that are chosen."""
    return np.flatnonzero(chosen).astype(np.int64)
