"""Where a training computes: the device, the number format, and the other processes."""

import logging
import os
from typing import TYPE_CHECKING

import torch

from models.errors import EncoderError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def new_fabric(device: str, precision: str) -> "Fabric":
    """Set up the device, the number format and, under torchrun, the other processes.

    Args:
        device: auto, cpu or cuda.
        precision: auto, float32 or bf16; auto takes bf16 on a GPU that has it.

    Raises:
        EncoderError: a GPU is asked for, and there is none.
    """
    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells of every process
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise EncoderError("--device cuda: torch finds no GPU here; use --device auto or cpu")
    on_gpu = there and device != "cpu"
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    bf16 = precision == "bf16" or (
        precision == "auto" and on_gpu and torch.cuda.is_bf16_supported()
    )
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices=processes,
        num_nodes=world // processes,
        strategy="ddp" if world > 1 else "auto",
        precision="bf16-mixed" if bf16 else "32-true",
    )
    fabric.launch()
    return fabric


def device_name(device: torch.device) -> str:
    """Name a device as its maker does."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def usual_workers(device: torch.device) -> int:
    """Say how many processes read and decode for one training process: threads do on a CPU."""
    return min(MOST_WORKERS, (os.cpu_count() or 1) - 1) if device.type == "cuda" else 0


MOST_WORKERS = 8
"""Reading processes of one training process by default."""
