"""Two loaded networks on one device: from windows of pixels to probabilities as whole numbers."""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.embedding.forward import inference
from models.errors import EncoderError, NumericsError
from models.mapping.request import Precision
from models.segmentation.gate import Gate
from models.segmentation.model import TissueModel
from models.segmentation.predict import predict_probabilities

CPU_BATCH = 8
"""Windows at a time on a CPU, where more costs memory."""
GPU_FIRST, GPU_MOST = 8, 128
"""Batch that a GPU's memory is measured with, and the largest that is tried."""
GPU_SHARE = 0.6
"""Share of a GPU's free memory that a batch may take."""
AHEAD = 2
"""Batches that a GPU has in hand before the first of them is fetched."""
ONE = 65535
"""What stands for a probability of 1."""

log = logging.getLogger(__name__)

Whole = NDArray[np.uint16]


@dataclass(frozen=True)
class _Pending:
    """A batch on its way from the device: bits of uint16 (B, C, P, P), and whether all is good."""

    part: range
    numbers: Tensor
    finite: Tensor
    event: torch.cuda.Event | None

    def result(self) -> tuple[range, Whole]:
        if self.event is not None:
            self.event.synchronize()
        if not bool(self.finite):
            raise NumericsError("the segmenter gave NaN or infinity; try --precision float32")
        return self.part, self.numbers.numpy().view(np.uint16)


class MapForward:
    """Runs a segmenter, and the gate's classifier, on one device.

    Args:
        segmenter: in evaluation mode; moved to the device.
        classifier: of the gate's; None where the gate is off.
        gate: what becomes of classes that the classifier does not see.
        precision: float32, or bf16 autocast with results in float32.
        device: where.
        batch: windows at a time; None takes a CPU's, or waits for `fit_batch`.
    """

    def __init__(
        self,
        segmenter: TissueModel,
        classifier: TissueModel | None,
        gate: Gate,
        precision: Precision,
        device: torch.device,
        *,
        batch: int | None = None,
    ) -> None:
        self.segmenter, self.classifier = _placed(segmenter, device), classifier
        if classifier is not None:
            self.classifier = _placed(classifier, device)
        self.gate, self.precision, self.device = gate, precision, device
        self.batch = batch or CPU_BATCH
        self._copies: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's gap

    def fit_batch(self, window_px: int) -> None:
        """Choose the batch by a GPU's free memory; on a CPU it stays."""
        if self.device.type != "cuda":
            return
        self.batch = GPU_FIRST
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        with self.running():
            self.probabilities(torch.zeros((GPU_FIRST, window_px, window_px, 3), dtype=torch.uint8))
        need = torch.cuda.max_memory_allocated(self.device) - before
        torch.cuda.empty_cache()
        free = torch.cuda.mem_get_info(self.device)[0]
        while self.batch < GPU_MOST and 2 * need <= GPU_SHARE * free:
            self.batch, need = 2 * self.batch, 2 * need

    def running(self) -> AbstractContextManager[None]:
        """Set what the precision asks of torch, and take it back."""
        return inference(self.device, bf16=self.precision == "bf16")

    def run(self, batches: Iterable[tuple[range, Tensor]]) -> Iterator[tuple[range, Whole]]:
        """Give probabilities (B, C, P, P) of batches (B, P, P, 3), 65535 for 1; in their order.

        A GPU gets the next batches before the first one is fetched.

        Raises:
            EncoderError: not even one window fits into the GPU's memory.
            NumericsError: a network gave NaN or infinity.
        """
        most = AHEAD if self.device.type == "cuda" else 0
        waiting: deque[_Pending] = deque()
        for part, pixels in batches:
            with self.running():  # not while this generator rests: its caller has other settings
                waiting.append(self._fetch(part, self.probabilities(pixels)))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def probabilities(self, pixels: Tensor) -> Tensor:
        """Give class probabilities, float32 (B, C, P, P) on the device; inside `running` only."""
        while True:
            found = self._attempt(pixels)
            if found is not None:
                return found
            # out of the handler, so that what the error held is free by now
            self.batch = max(1, min(self.batch, len(pixels)) // 2)
            log.warning("the GPU's memory is full: windows by %d from now on", self.batch)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _attempt(self, pixels: Tensor) -> Tensor | None:
        """Compute in parts of the present batch; None where memory was short."""
        try:
            return torch.cat([self._part(part) for part in torch.split(pixels, self.batch)])
        except torch.OutOfMemoryError as err:
            if min(self.batch, len(pixels)) > 1:
                return None
            raise EncoderError(
                f"{self.segmenter.card.name}: not even one window fits into the GPU's memory; use "
                "--device cpu, or smaller windows: --window-px"
            ) from err

    def _part(self, pixels: Tensor) -> Tensor:
        moved = pixels.to(self.device, non_blocking=True)
        return predict_probabilities(
            self.segmenter, moved, classifier=self.classifier, gate=self.gate
        )

    def _fetch(self, part: range, found: Tensor) -> _Pending:
        """Begin to bring probabilities to the host."""
        finite = found.sum().isfinite()
        # int16 has the same bits, and all devices know it
        numbers = found.mul(ONE).round_().clamp_(0, ONE).to(torch.int32).to(torch.int16)
        if self._copies is None:
            return _Pending(part, numbers, finite, None)
        return self._copied(part, numbers, finite, self._copies)

    def _copied(
        self, part: range, numbers: Tensor, finite: Tensor, copies: torch.cuda.Stream
    ) -> _Pending:
        copies.wait_stream(torch.cuda.current_stream(self.device))
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's gap
        hosts = []
        with torch.cuda.stream(copies):
            for tensor in (numbers, finite):
                host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                hosts.append(host.copy_(tensor, non_blocking=True))
                tensor.record_stream(copies)
            event.record(copies)
        return _Pending(part, hosts[0], hosts[1], event)


def _placed(model: TissueModel, device: torch.device) -> TissueModel:
    placed: TissueModel = model.to(device).to(memory_format=torch.channels_last)
    return placed.eval()
