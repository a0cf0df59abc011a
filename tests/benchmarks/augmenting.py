"""Augmentation in batches against torchvision's, picture by picture, on the same device.

Both give batches of normalised views from decoded pixels, with the same chances and strengths, on
the same number of torch threads, in turns. Torchvision starts from PIL images and from tensors, and
its fastest way counts. Also told, but not compared with: PIL's own blur in place of torchvision's,
an approximation by running means, as MoCo v3's authors use it.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torchvision.transforms import v2

from models.augment import Preset, open_preset
from tests.benchmarks.clock import Row, at_least, rate
from workflows.units import plural

SIDE_PX = 224
BATCH = 64
TARGET = 5.0
OURS = "ours"
APART = "PIL's own blur"
"""A way that is told, but not compared with."""

TURNS = 3
SEED = 0
"""Of every turn: chance decides who has more to blur, so it must not be left to the best turn."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Law:
    """What differs between the presets; one number per view.

    Attributes:
        jitter: strengths.
        blur: chances.
        solarize: chances.
    """

    jitter: tuple[float, float, float, float]
    blur: tuple[float, float]
    solarize: tuple[float, float]


LAWS = {
    "simclr": Law((0.8, 0.8, 0.8, 0.2), (0.5, 0.5), (0.0, 0.0)),
    "moco-v3": Law((0.4, 0.4, 0.2, 0.1), (1.0, 0.1), (0.0, 0.2)),
}


class PilBlur(nn.Module):
    """The blur of MoCo v3's authors: PIL's, whose radius is sigma."""

    def forward(self, image: Image.Image) -> Image.Image:
        sigma = float(torch.empty(()).uniform_(0.1, 2.0))
        return image.filter(ImageFilter.GaussianBlur(sigma))


def measure() -> Iterator[Row]:
    """Give the rates of both presets on a CPU, with one thread and with all, and on a GPU."""
    threads = torch.get_num_threads()
    for count in sorted({1, len(os.sched_getaffinity(0))}):
        torch.set_num_threads(count)
        yield from _device(torch.device("cpu"), f"CPU, {plural(count, 'thread')}")
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        yield from _device(torch.device("cuda"), "GPU")


def _device(device: torch.device, where: str) -> Iterator[Row]:
    pixels = _pixels()
    for name, law in LAWS.items():
        ways: dict[str, Callable[[], None]] = dict(_theirs(law, pixels, device))
        ways[OURS] = InBatches(
            open_preset(name, side_px=SIDE_PX, mean=MEAN, std=STD, d4=False),
            torch.from_numpy(pixels).to(device),
        )
        rates = _rates(ways)
        ours, apart = rates.pop(OURS), rates.pop(APART, None)
        for way, speed in rates.items():
            yield Row(f"torchvision, {name}, {way}, {where}", speed, "patches/s")
        if apart:
            yield Row(f"torchvision, {name}, {APART}, {where}", apart, "patches/s")
        fastest = max(rates, key=lambda way: rates[way])
        what = f"augment, {name}, {SIDE_PX} px, batch {BATCH}, {where}"
        yield at_least(what, ours, rates[fastest], TARGET, f"torchvision, {fastest}")


def _rates(ways: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Give the best patches/s of each way; they run in turns, so that all are disturbed alike."""
    best = dict.fromkeys(ways, 0.0)
    for _ in range(TURNS):
        for way, work in ways.items():
            best[way] = max(best[way], rate(BATCH, work, repeats=1))
    return best


@dataclass(frozen=True)
class InBatches:
    """Our way: drawing is counted too.

    Attributes:
        preset: of two views.
        pixels: uint8 (BATCH, SIDE_PX, SIDE_PX, 3).
    """

    preset: Preset
    pixels: Tensor

    def __call__(self) -> None:
        params = self.preset.draw(BATCH, np.random.Generator(np.random.PCG64(SEED)))
        self.preset.apply(self.pixels, params)
        _wait(self.pixels.device)


@dataclass(frozen=True)
class OneByOne:
    """Torchvision's way: one pipeline per view, picture by picture.

    Attributes:
        images: PIL images or tensors (3, H, W).
        pipelines: one per view.
        device: of the tensors.
    """

    images: list[Any]
    pipelines: list[v2.Compose]
    device: torch.device

    def __call__(self) -> None:
        torch.manual_seed(SEED)
        for pipeline in self.pipelines:
            torch.stack([pipeline(image) for image in self.images])
        _wait(self.device)


def _theirs(law: Law, pixels: np.ndarray, device: torch.device) -> dict[str, OneByOne]:
    blur = v2.GaussianBlur(23, (0.1, 2.0))
    tensors = [torch.from_numpy(one).permute(2, 0, 1).contiguous().to(device) for one in pixels]
    floats = [one.float() / 255 for one in tensors]
    ways = {
        "tensors of bytes": OneByOne(tensors, _pipelines(law, blur, 128), device),
        "tensors of floats": OneByOne(floats, _pipelines(law, blur, 0.5), device),
    }
    if device.type == "cpu":
        images = [Image.fromarray(one) for one in pixels]
        ways["PIL images"] = OneByOne(images, _pipelines(law, blur, 128), device)
        ways[APART] = OneByOne(images, _pipelines(law, PilBlur(), 128), device)
    return ways


def _pipelines(law: Law, blur: nn.Module, half: float) -> list[v2.Compose]:
    """Give one pipeline per view; `half` is the value from which solarizing inverts."""
    return [
        v2.Compose(
            [
                v2.RandomResizedCrop(SIDE_PX, (0.08, 1.0)),
                v2.RandomApply([v2.ColorJitter(*law.jitter)], 0.8),
                v2.RandomGrayscale(0.2),
                v2.RandomApply([blur], law.blur[view]),
                *([v2.RandomSolarize(half, law.solarize[view])] if law.solarize[view] else []),
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )
        for view in range(2)
    ]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _pixels() -> np.ndarray:
    """Give smooth pictures with noise, uint8 (BATCH, SIDE_PX, SIDE_PX, 3)."""
    rng = np.random.default_rng(0)
    coarse = rng.random((BATCH, 14, 14, 3)).repeat(16, axis=1).repeat(16, axis=2)
    noise = 0.1 * rng.standard_normal(coarse.shape)
    return np.round(255 * (coarse + noise).clip(0, 1)).astype(np.uint8)
