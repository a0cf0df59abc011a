"""A step of DISTL against the bare passes of its networks."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from models.augment import open_preset
from models.distilling.branch import Branch
from models.distilling.flexible import with_sizes
from models.distilling.method import GLOBAL, VIEWS, Distl
from models.distilling.settings import DISTL_TRAINING, DistlSettings
from models.encoders import open_encoder
from models.training.method import Clock, Views
from models.training.optimizers import build_optimizer
from tests.benchmarks.clock import Row, at_least

LEAST_SHARE = 0.85
CLOCK = Clock(step=10, steps=100, epoch=2, epochs=5)
WARM, MEASURED = 2, 8
ON_CPU = {"name": "resnet18", "side": 64, "batch": 16, "prototypes": 4096}
ON_GPU = {"name": "vit-small-8", "side": 256, "batch": 64, "prototypes": 65_536}


def measure() -> Iterator[Row]:
    """Give one row: views and loss and optimiser, against forward and backward passes alone."""
    on_gpu = torch.cuda.is_available()
    given: dict[str, Any] = ON_GPU if on_gpu else ON_CPU
    device = torch.device("cuda" if on_gpu else "cpu")
    bench = _Bench(device, **given)
    # in turns, so that whatever else the machine does meets both
    times = [(bench.seconds(bench.step), bench.seconds(bench.bare)) for _ in range(MEASURED)]
    whole, bare = (given["batch"] / float(np.median(side)) for side in zip(*times, strict=True))
    name = f"distl step, {given['name']} at {given['side']} px on {device.type}"
    yield at_least(name, whole, bare, LEAST_SHARE, f"bare passes {bare:,.1f}/s")


class _Bench:
    """A method with an optimiser, and pixels on the device."""

    def __init__(
        self, device: torch.device, name: str, side: int, batch: int, prototypes: int
    ) -> None:
        self.device, self.batch, self.rng = device, batch, np.random.default_rng(0)
        encoder = open_encoder(name, "random:0", input_px=side)
        settings = DistlSettings(prototypes=prototypes)
        student = Branch(with_sizes(encoder, (side, side // 2), settings.drop_path), 1, settings)
        self.method = Distl(student, None, settings, "binary").to(device).train()
        self.optimizer = build_optimizer(self.method, DISTL_TRAINING)
        card = encoder.card
        self.preset = open_preset("distl", side_px=side, mean=card.mean, std=card.std, d4=False)
        pixels = self.rng.integers(0, 255, (batch, side, side, 3), np.uint8)
        self.pixels = torch.from_numpy(pixels).to(device)
        self.images = self._views()
        for work in (self.step, self.bare):
            for _ in range(WARM):
                work()

    def seconds(self, work: Callable[[], None]) -> float:
        """Time one piece of work."""
        self._wait()
        start = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - start

    def step(self) -> None:
        """Do all that a step of the run does."""
        order = torch.arange(self.batch, device=self.device)
        views = Views(self._views(), order, order, None)
        with torch.no_grad(), self._autocast():
            prepared = self.method.begin_step([views], CLOCK)
        with self._autocast():
            found = self.method(views, prepared, 0, CLOCK)
        found.loss.backward()
        self.method.end_gradients(CLOCK)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.method.end_step(prepared, CLOCK)

    def bare(self) -> None:
        """Do the passes alone: teacher forward, student forward and backward, heads included."""
        whole, local = self.images[:GLOBAL], self.images[GLOBAL:VIEWS]
        with torch.no_grad(), self._autocast():
            self.method.teacher(whole)
        with self._autocast():
            seen = self.method.student(whole, local)
        (seen.outputs.float().mean() + seen.logits.float().mean()).backward()
        self.optimizer.zero_grad(set_to_none=True)

    def _views(self) -> tuple[torch.Tensor, ...]:
        made = self.preset.apply(self.pixels, self.preset.draw(self.batch, self.rng))
        return tuple(view.contiguous(memory_format=torch.channels_last) for view in made)

    def _autocast(self) -> torch.autocast:
        gpu = self.device.type == "cuda"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=gpu)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
