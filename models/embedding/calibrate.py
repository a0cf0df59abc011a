"""Which setting is fastest here: measured on real patches, and only what can pay for itself."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from models.embedding.forward import Forward
from models.embedding.setting import REPRODUCIBLE, Choice, Setting, Wanted
from models.encoders.encoder import Encoder

TOO_SHORT_S = 10.0
"""A job that the usual setting ends sooner than this is not worth any measurement."""
COMPILING_PAYS_S = 900.0
"""Job from which a compiled network is tried: that takes a minute, and gains a tenth (CPU)."""
SLOWER = 3.0
"""A setting that is this many times slower with one patch is not tried with more."""
GAIN = 1.05
"""What another setting must gain to be taken; less is noise."""

Rate = Callable[[Setting, Tensor], float]


@dataclass(frozen=True)
class Job:
    """What is ahead.

    Attributes:
        patches: of one worker.
        wanted: number format that was asked for.
        sample: uint8 (B, P, P, 3), patches of the archive; the batch of a CPU.
    """

    patches: int
    wanted: Wanted
    sample: Tensor


def choose(encoder: Encoder, device: torch.device, job: Job) -> Choice:
    """Measure settings on a device and give the fastest.

    Eager settings are compared first; the best one is then tried compiled if the job is long.
    """
    if job.wanted == "float32":
        return Choice(REPRODUCIBLE, "float32 was asked for: fixed, so that results repeat", {})
    race = _Race(encoder, device, job)
    usual = Setting("bf16" if job.wanted == "bf16" else "float32")
    race.enter(usual)
    if race.seconds_left < TOO_SHORT_S:
        return race.choice("the job is too short to try others")
    if device.type != "cuda":  # on a GPU channels-last is the fast layout of convolutions
        race.enter(replace(usual, channels_last=False))
    if job.wanted == "auto" and bf16_helps(device):
        race.enter(replace(race.best, precision="bf16"))
    if race.seconds_left < COMPILING_PAYS_S:
        return race.choice("the fastest of those tried; too short a job to compile")
    race.enter(replace(race.best, compiled=True))
    return race.choice("the fastest of those tried")


def bf16_helps(device: torch.device) -> bool:
    """Whether the device computes bf16 itself: convolution and product are no slower than float32.

    Where it does not, one batch of a real network could take minutes; this takes milliseconds.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((1, 64, 14, 14), generator=generator)
    kernel = torch.rand((64, 64, 3, 3), generator=generator)
    matrix = torch.rand((256, 256), generator=generator)
    seconds = []
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            x, w, m = (values.to(dtype) for values in (images, kernel, matrix))
            x = x.to(memory_format=torch.channels_last)
            seconds.append((_best_s(partial(torch.mm, m, m)), _best_s(partial(torch.conv2d, x, w))))
    usual, ours = seconds
    return all(bf16 <= SLOWER * float32 for float32, bf16 in zip(usual, ours, strict=True))


def _best_s(work: Callable[[], object], repeats: int = 3) -> float:
    best = float("inf")
    for _ in range(repeats + 1):  # the first one only prepares
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


class _Race:
    """Settings of one encoder against each other."""

    def __init__(self, encoder: Encoder, device: torch.device, job: Job) -> None:
        self._encoder, self._device, self._job = encoder, device, job
        self._rates: dict[Setting, float] = {}
        self._one_s = float("inf")
        self.best = REPRODUCIBLE

    @property
    def seconds_left(self) -> float:
        """How long the job takes with what is best so far."""
        return self._job.patches / self._rates[self.best]

    def enter(self, setting: Setting) -> None:
        """Measure a setting; one that gains less than noise changes nothing."""
        rate = self._rate(setting)
        first = not self._rates
        self._rates[setting] = rate
        if first or rate > GAIN * self._rates[self.best]:
            self.best = setting

    def choice(self, why: str) -> Choice:
        """Say what is best."""
        rates = {str(setting): round(rate, 2) for setting, rate in self._rates.items()}
        return Choice(self.best, why, rates)

    def _rate(self, setting: Setting) -> float:
        """Patches/s; 0 where torch cannot compile the network here."""
        forward = Forward(self._encoder, setting, self._device)
        sample = self._job.sample
        if not setting.compiled:
            one_s = self._seconds(forward, sample[:1], 1)
            if one_s > SLOWER * self._one_s:
                return 1 / one_s
            self._one_s = min(self._one_s, one_s)
        try:
            return len(sample) / self._seconds(forward, sample, 2)
        except RuntimeError as err:
            if not setting.compiled:
                raise
            del err  # no compiler, or a network that it does not understand
            return 0.0

    def _seconds(self, forward: Forward, pixels: Tensor, repeats: int) -> float:
        def work() -> None:
            forward.rows_of(pixels).cpu()

        with forward.running():
            return _best_s(work, repeats)
