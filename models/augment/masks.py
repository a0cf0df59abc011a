"""Flips and turns of masks, which follow their patches to the pixel."""

import torch
from torch import Tensor

from models.augment.params import ViewParams


def move_masks(masks: Tensor, drawn: ViewParams) -> Tensor:
    """Flip and turn (B, M, P, P) as patches are: up-down, left-right, quarters counter-clockwise.

    Args:
        masks: of any type, on any device.
        drawn: of these B patches; crops are not followed.
    """
    moved = masks
    for axis, chosen in ((2, drawn.flip[:, 0]), (3, drawn.flip[:, 1])):
        flipped = torch.from_numpy(chosen).to(masks.device)[:, None, None, None]
        moved = torch.where(flipped, moved.flip(axis), moved)
    for quarters in (1, 2, 3):
        turned = torch.from_numpy(drawn.turn == quarters).to(masks.device)[:, None, None, None]
        moved = torch.where(turned, moved.rot90(quarters, (2, 3)), moved)
    return moved
