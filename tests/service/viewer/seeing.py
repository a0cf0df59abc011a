"""Looking at a page as a person does: its pixels, compared with the slide's own."""

import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from openslide import OpenSlide
from PIL import Image
from playwright.sync_api import Locator, Page
from skimage.registration import phase_cross_correlation

Rgb = npt.NDArray[np.int16]

MPP = 0.499
WIDTH, HEIGHT = 2220, 2967
PATIENCE_S = 20.0


def pixels(seen: Locator) -> Rgb:
    """What an element shows, (h, w, 3)."""
    return np.asarray(Image.open(io.BytesIO(seen.screenshot())).convert("RGB")).astype(np.int16)


def stage(page: Page) -> Rgb:
    """What the slide's part of the page shows."""
    return pixels(page.locator(".screen"))


def settled(page: Page, right: Callable[[Rgb], bool] = lambda _: True) -> Rgb:
    """Wait until the slide's part stands still and is right; gives it as it is then."""
    end, before = time.monotonic() + PATIENCE_S, stage(page)
    while time.monotonic() < end:
        page.wait_for_timeout(150)
        now = stage(page)
        if now.shape == before.shape and (now == before).all() and right(now):
            return now
        before = now
    return before


def opened(page: Page) -> Rgb:
    """Wait until the slide is drawn."""
    page.locator(".tools").wait_for()
    return settled(page, lambda seen: bool(tissue(seen).mean() > 0.02))


def tissue(seen: Rgb) -> npt.NDArray[np.bool_]:
    """Where it looks like stained tissue."""
    red, green, blue = seen[..., 0], seen[..., 1], seen[..., 2]
    return (red - green > 25) & (blue - green > 10)


def place(page: Page) -> dict[str, str]:
    """The words of the page's address."""
    return dict(re.findall(r"[?&](\w+)=([^&]*)", page.url))


def expected(slide: Path, page: Page, shape: tuple[int, int]) -> Rgb:
    """What a window of this shape shows, by OpenSlide and the page's address."""
    words = place(page)
    x, y, zoom = (float(words[name]) for name in ("x", "y", "zoom"))
    height, width = shape
    size = round(width / zoom), round(height / zoom)
    corner = round(x - size[0] / 2), round(y - size[1] / 2)
    with OpenSlide(slide) as opened:
        whole = opened.read_region((0, 0), 0, opened.dimensions).convert("RGB")
    canvas = Image.new("RGB", size)
    canvas.paste(whole, (-corner[0], -corner[1]))
    return np.asarray(canvas.resize((width, height), Image.Resampling.BOX)).astype(np.int16)


def middle(seen: Rgb, share: float = 0.5) -> Rgb:
    """The part around the middle, which no button covers."""
    height, width = seen.shape[:2]
    top, left = int(height * (1 - share) / 2), int(width * (1 - share) / 2)
    return seen[top : height - top, left : width - left]


def difference(one: Rgb, other: Rgb) -> float:
    """Mean difference of two pictures."""
    return float(np.abs(one - other).mean())


def shows(seen: Rgb, right: Rgb, share: float = 0.5) -> None:
    """Check that a picture's middle is another's, to a pixel and but for how it was shrunk."""
    one, other = (middle(found, share) for found in (seen, right))
    assert tissue(other).mean() > 0.1
    shift, _, _ = phase_cross_correlation(one.mean(axis=2), other.mean(axis=2), upsample_factor=4)
    assert np.abs(shift).max() <= 1.5, f"the slide lies {shift} pixels beside its place"
    assert difference(blurred(one), blurred(other)) < 6


def blurred(seen: Rgb) -> Rgb:
    """Means of 8 x 8 pixels."""
    height, width = (length // 8 for length in seen.shape[:2])
    blocks = seen[: 8 * height, : 8 * width].reshape(height, 8, width, 8, 3)
    return blocks.mean(axis=(1, 3)).astype(np.int16)


def near(seen: Rgb, colour: tuple[int, int, int], within: int = 30) -> npt.NDArray[np.bool_]:
    """Where a picture has about this colour."""
    found: npt.NDArray[np.bool_] = (np.abs(seen - np.array(colour)) <= within).all(axis=-1)
    return found


def until(page: Page, script: str, given: Any = None) -> None:
    """Wait until a script gives true; the page's own policy forbids Playwright's way to wait."""
    end = time.monotonic() + PATIENCE_S
    while not page.evaluate(script, given):
        assert time.monotonic() < end, f"never came true: {script}"
        page.wait_for_timeout(50)
