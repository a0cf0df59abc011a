"""Rectangles of a slide at any resolution, and pictures of the whole of it."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from service.errors import BusyError, InvalidError, TooLargeError
from service.slides.rendering import BAND_PX, encode_jpeg
from wsi import Level, MissingMppError, Point, Region, Size, Slide
from wsi.area import AreaMean
from wsi.color import Pixels
from wsi.deepzoom import slide_level

REGION_PX = 16 << 20
"""Most pixels of an answer."""
READ_PX = 256 << 20
"""Most pixels that are read for one, where the slide has no coarse level."""
REGION_SIDE_PX = 16_384
LARGE_PX = 1 << 20
"""A region of more pixels waits for its turn, and one that may be reduced from more."""
AT_ONCE = 2
"""Large regions that are made at a time; each may take some hundred MB."""
WAIT_S = 5.0
"""For so long a request waits for its turn; then it is told to come again."""
TOLERANCE = 1e-6

Format: TypeAlias = Literal["jpeg", "png"]


@dataclass(frozen=True)
class Asked:
    """A rectangle: corner in level-0 pixels, size in pixels of the answer.

    Attributes:
        x: left.
        y: top.
        width: of the answer.
        height: of the answer.
        level: whose pixels are given as they are; None where `mpp` says how large a pixel is.
        mpp: microns per pixel of the answer.
    """

    x: int
    y: int
    width: int
    height: int
    level: int | None
    mpp: float | None


class RegionTurns:
    """Bounds how many large regions are made at a time; for many threads.

    Args:
        at_once: how many.
        wait_s: how long others wait.
    """

    def __init__(self, at_once: int = AT_ONCE, wait_s: float = WAIT_S) -> None:
        self._free = threading.BoundedSemaphore(at_once)
        self._wait_s = wait_s

    @contextmanager
    def turn(self, asked: Asked) -> Iterator[None]:
        """Wait for one's turn where the region is large.

        Raises:
            BusyError: others took too long.
        """
        if asked.mpp is None and asked.width * asked.height <= LARGE_PX:
            yield
            return
        if not self._free.acquire(timeout=self._wait_s):
            raise BusyError("too many large regions are being made", retry_after_s=2)
        try:
            yield
        finally:
            self._free.release()


def read_asked(slide: Slide, asked: Asked) -> Pixels:
    """Give the pixels, u1 (height, width, 3); white outside the slide.

    Raises:
        InvalidError: no such level, or finer than the slide.
        TooLargeError: too many pixels, or too many to be read.
    """
    if asked.width * asked.height > REGION_PX:
        raise TooLargeError(f"at most {REGION_PX:,} pixels at once")
    corner, size = Point(asked.x, asked.y), Size(asked.width, asked.height)
    if asked.mpp is None:
        index = asked.level or 0
        if index >= len(slide.levels):
            raise InvalidError(f"there is no level {index}, there are {len(slide.levels)}")
        return slide.read_region(Region(corner, index, size))
    downsample = _downsample(slide, asked.mpp)
    level = slide_level(slide.levels, downsample * (1 + TOLERANCE))
    scale = downsample / level.downsample
    if abs(scale - 1) < TOLERANCE:
        return slide.read_region(Region(corner, level.index, size))
    return _reduced(slide, corner, level, size, scale)


def _downsample(slide: Slide, mpp: float) -> float:
    try:
        downsample = mpp / slide.mpp.mean
    except MissingMppError as err:
        raise InvalidError("the slide has no microns per pixel; ask by level") from err
    if downsample < 1 - TOLERANCE:
        raise InvalidError(f"the slide has {slide.mpp.mean:g} um/px; {mpp:g} would enlarge it")
    return downsample


def _reduced(slide: Slide, corner: Point, level: Level, size: Size, scale: float) -> Pixels:
    """Read in bands from a finer level, and take the mean of what each pixel covers."""
    extent = (size.width * scale, size.height * scale)
    width, height = (int(np.ceil(side)) for side in extent)
    if width * height > READ_PX:
        raise TooLargeError("the slide has no level that is coarse enough for so large a region")
    mean = AreaMean(extent, (size.height, size.width))
    most = max(1, BAND_PX // width)
    for top in range(0, height, most):
        at = Point(corner.x, corner.y + round(top * level.downsample))
        band = Region(at, level.index, Size(width, min(most, height - top)))
        mean.add(slide.read_region(band))
    return mean.result()


def shrunk(pixels: Pixels, max_px: int) -> Pixels:
    """Reduce a picture so that its longest side is at most this."""
    height, width = pixels.shape[:2]
    factor = max(width, height) / max_px
    if factor <= 1:
        return pixels
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def encode(pixels: Pixels, kind: Format) -> bytes:
    """Encode u1 (h, w, 3)."""
    if kind == "jpeg":
        return encode_jpeg(pixels)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
