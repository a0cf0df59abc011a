"""A loaded encoder under one setting: from batches of pixels to rows, whatever the memory."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.embedding.setting import Setting
from models.encoders.encoder import Encoder
from models.errors import EncoderError

CPU_BATCH = 16
"""Patches at a time on a CPU, where more costs memory."""
GPU_FIRST, GPU_MOST = 32, 256
"""Batch that a GPU's memory is measured with, and the largest that is tried."""
GPU_SHARE = 0.6
"""Share of a GPU's free memory that a batch may take."""
AHEAD = 2
"""Batches that a GPU has in hand before the first of them is fetched."""

Rows = NDArray[np.float32]
Done = Callable[[int, int], None]

log = logging.getLogger(__name__)


class Forward:
    """Runs one encoder on one device.

    Args:
        encoder: in evaluation mode; moved to the device and laid out as the setting says.
        setting: how it is run.
        device: where.
        batch: patches at a time; None chooses.
    """

    def __init__(
        self, encoder: Encoder, setting: Setting, device: torch.device, batch: int | None = None
    ) -> None:
        layout = torch.channels_last if setting.channels_last else torch.contiguous_format
        self.setting, self.device = setting, device
        self.encoder = encoder.to(device).to(memory_format=layout).eval()
        self._layout = layout
        self._call: Callable[[Tensor], Tensor] = self.encoder
        if setting.compiled:
            self._call = torch.compile(self.encoder, dynamic=False)
        self._copies: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's gap
        self.batch = batch or CPU_BATCH

    def fit_batch(self, patch_shape: tuple[int, ...]) -> None:
        """Choose the batch by a GPU's free memory; on a CPU it stays.

        Args:
            patch_shape: (P, P, 3).
        """
        if self.device.type != "cuda":
            return
        self.batch = GPU_FIRST
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        with self.running():
            self.rows_of(torch.zeros((GPU_FIRST, *patch_shape), dtype=torch.uint8))
        need = torch.cuda.max_memory_allocated(self.device) - before
        torch.cuda.empty_cache()
        free = torch.cuda.mem_get_info(self.device)[0]
        while self.batch < GPU_MOST and 2 * need <= GPU_SHARE * free:
            self.batch, need = 2 * self.batch, 2 * need

    def embed(self, batches: Iterable[Tensor], out: Rows, done: Done) -> None:
        """Fill rows from batches, one after the other.

        Args:
            batches: uint8 (B, P, P, 3).
            out: (N, D), N the sum of all B.
            done: called with the first row and the one after the last, when rows are there.

        Raises:
            EncoderError: not even one patch fits into the GPU's memory.
        """
        start = 0
        with self.running():
            for rows in self._in_order(batches):
                stop = start + len(rows)
                out[start:stop] = rows.cpu().numpy()
                done(start, stop)
                start = stop

    def rows_of(self, pixels: Tensor) -> Tensor:
        """Embed uint8 (B, P, P, 3): float32 (B, D) on the device; inside `running` only."""
        while True:
            rows = self._attempt(pixels)
            if rows is not None:
                return rows
            # out of the handler, so that what the error held is free by now
            self.batch = max(1, min(self.batch, len(pixels)) // 2)
            log.warning("the GPU's memory is full: batches of %d from now on", self.batch)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Set what the setting asks of torch, and take it back; casts of weights last as long."""
        with inference(self.device, bf16=self.setting.precision == "bf16"):
            yield

    def _in_order(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Keep a GPU busy: its results are fetched when it has the next batches already."""
        ahead = AHEAD if self.device.type == "cuda" else 0
        waiting: deque[Tensor] = deque()
        for pixels in batches:
            waiting.append(self.rows_of(pixels))
            if len(waiting) > ahead:
                yield waiting.popleft()
        yield from waiting

    def _attempt(self, pixels: Tensor) -> Tensor | None:
        """Embed in parts of the present batch; None where memory was short."""
        try:
            return torch.cat([self._part(part) for part in torch.split(pixels, self.batch)])
        except torch.OutOfMemoryError as err:
            if min(self.batch, len(pixels)) > 1:
                return None
            raise EncoderError(
                f"{self.encoder.card.name}: not even one patch fits into the GPU's memory; "
                "use --device cpu, or smaller patches"
            ) from err

    def _part(self, pixels: Tensor) -> Tensor:
        count = len(pixels)
        images = self.encoder.prepare(self._moved(pixels)).contiguous(memory_format=self._layout)
        if self.setting.compiled and count < self.batch:  # one shape, compiled once
            images = nn.functional.pad(images, (0, 0, 0, 0, 0, 0, 0, self.batch - count))
            images = images.contiguous(memory_format=self._layout)
        return self._call(images)[:count].float()

    def _moved(self, pixels: Tensor) -> Tensor:
        """Bring pixels to the device, on a GPU beside what it computes."""
        if self._copies is None:
            return pixels.to(self.device)
        with torch.cuda.stream(self._copies):
            moved = pixels.to(self.device, non_blocking=True)
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self._copies)
        moved.record_stream(current)
        return moved


@contextmanager
def inference(device: torch.device, *, bf16: bool) -> Iterator[None]:
    """Set what a forward pass without gradients asks of torch, and take it back."""
    with torch.inference_mode(), number_format(device, bf16=bf16):
        yield


@contextmanager
def number_format(device: torch.device, *, bf16: bool) -> Iterator[None]:
    """Set the number format of networks, and take it back.

    Args:
        device: where they run.
        bf16: autocast to it; else float32 as exact as the device can.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=bf16))
        if device.type == "cuda":
            # float32 is asked for in order to be exact: no TF32, no choice by timing
            stack.enter_context(
                torch.backends.cudnn.flags(
                    enabled=True, benchmark=bf16, deterministic=not bf16, allow_tf32=bf16
                )
            )
        yield
