"""Values of geometry: pixels apart from microns. Pure arithmetic; nothing here reads a slide.

Frames: `x` grows to the right and `y` downwards. A location is always in pixels of level 0, a
size in pixels of the level that it is asked of (OpenSlide's frame). Arrays are (row, col).
"""

import math
from dataclasses import dataclass

from wsi.errors import InvalidRequestError


@dataclass(frozen=True, slots=True)
class Point:
    """A position in level-0 pixels; it may lie outside the slide."""

    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Size:
    """An extent in pixels, never negative."""

    width: int
    height: int

    def __post_init__(self) -> None:
        """Refuse negative sides."""
        if self.width < 0 or self.height < 0:
            raise InvalidRequestError(f"a size must not be negative, got {self}")

    @property
    def area(self) -> int:
        """Pixels in all."""
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle: top-left corner in level-0 pixels, size in pixels of `level`."""

    location: Point
    level: int
    size: Size

    def __post_init__(self) -> None:
        """Refuse a negative level."""
        if self.level < 0:
            raise InvalidRequestError(f"a level must not be negative, got {self.level}")


@dataclass(frozen=True, slots=True)
class Mpp:
    """Microns per pixel along x and y, both positive and finite."""

    x: float
    y: float

    def __post_init__(self) -> None:
        """Refuse what is not positive and finite."""
        if not all(math.isfinite(value) and value > 0 for value in (self.x, self.y)):
            raise InvalidRequestError(f"microns per pixel must be positive and finite, got {self}")

    @property
    def mean(self) -> float:
        """The arithmetic mean of both axes, um/px."""
        return (self.x + self.y) / 2


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a slide; `downsample` is level-0 pixels per pixel of this level."""

    index: int
    size: Size
    downsample: float
