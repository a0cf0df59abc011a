"""What of a map can be shown: numbers from 0 to 255 with a colour each, over a part of the slide.

A tissue map shows its classes, or how unsure it is of them; any other map with an array `pixels`
is a heatmap of its channels.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.content.planes import Bytes, Plane, enlarged_read, halve_present
from service.errors import InvalidError, NotFoundError
from tiling.maps import SlideMap
from tiling.tissuemap import CLASSES, ENTROPY, KIND, NO_CLASS, Legend, read_attributes
from workflows.mapping.pyramid import halve_classes, halve_values
from workflows.reporting.attention import colours

Layer = Literal["classes", "entropy"]

PIXELS = "pixels"
"""Array of a heatmap `(channels, h, w)`: 0 where nothing is, else 1 (lowest) to 255 (highest)."""
SMALLEST_PX = 512
"""Longest side that a picture should have: viewers blur single pixels that are shown large."""
NOTHING = 0
"""Number of what is transparent in heatmaps and entropy."""

Palette = NDArray[np.uint8]
"""Red, green, blue, alpha of each number, `(256, 4)`."""


@dataclass(frozen=True)
class Picture:
    """Something that can be shown.

    Attributes:
        planes: of numbers; the second one, where there is one, holds classes that are transparent.
        palette: colours of the numbers of the first plane.
        hidden: classes that are not shown; with two planes.
        factor: side of a pixel of the map in pixels of the picture.
    """

    planes: tuple[Plane, ...]
    palette: Palette
    hidden: frozenset[int]
    factor: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the finest level."""
        return self.planes[0].height_px, self.planes[0].width_px


def is_tissue(found: SlideMap) -> bool:
    """Whether it is a map of classes."""
    return found.attributes.get("kind") == KIND


def channels_of(found: SlideMap) -> tuple[str, ...]:
    """Names of what a heatmap has pictures of; none of other maps."""
    if is_tissue(found) or PIXELS not in found.attributes.get("arrays", ()):
        return ()
    named = tuple(map(str, found.attributes.get("channels") or ()))
    count = found.layout(PIXELS).shape[0]
    return named if len(named) == count else tuple(map(str, range(count)))


def tissue_picture(found: SlideMap, layer: Layer, hide: frozenset[int]) -> Picture:
    """Show the classes of a tissue map, or how unsure it is of them.

    Raises:
        InvalidError: a class that is to be hidden is none.
    """
    legend, frame = read_attributes(found.attributes)
    wrong = sorted(number for number in hide if number >= len(legend.names))
    if wrong:
        raise InvalidError(f"there is no class {wrong[0]} to hide, only {len(legend.names)}")
    size = frame.height_px, frame.width_px
    factor = _factor(*size)
    classes = _plane(found, CLASSES, (), size, factor)
    if layer == "classes":
        return Picture((classes,), class_palette(legend, hide), frozenset(), factor)
    entropy = _plane(found, ENTROPY, (), size, factor)
    return Picture((entropy, classes), heat_palette(), hide | {NO_CLASS}, factor)


def heat_picture(found: SlideMap, channel: str | None) -> Picture:
    """Show a channel of a heatmap, the first one unless told otherwise.

    Raises:
        NotFoundError: it has no such channel, or no picture at all.
    """
    known = channels_of(found)
    if not known:
        raise NotFoundError(f"the map {found.name!r} has no picture")
    if channel is not None and channel not in known:
        told = ", ".join(map(repr, known))
        raise NotFoundError(f"the map {found.name!r} has no channel {channel!r}, only {told}")
    number = 0 if channel is None else known.index(channel)
    _, height, width = found.layout(PIXELS).shape
    factor = _factor(height, width)
    plane = _plane(found, PIXELS, (slice(number, number + 1),), (height, width), factor)
    return Picture((plane,), heat_palette(), frozenset(), factor)


def _plane(
    found: SlideMap,
    array: str,
    before: tuple[slice, ...],
    size: tuple[int, int],
    factor: int,
) -> Plane:
    def read(rows: slice, columns: slice) -> Bytes:
        values = found.read(array, [*before, rows, columns])
        return values.reshape(values.shape[-2:]).astype(np.uint8, copy=False)

    halve = {CLASSES: halve_classes, ENTROPY: halve_values}.get(array, halve_present)
    return Plane(size[0] * factor, size[1] * factor, enlarged_read(read, factor), halve)


def _factor(height: int, width: int) -> int:
    return -(-SMALLEST_PX // max(height, width))


def class_palette(legend: Legend, hide: frozenset[int]) -> Palette:
    """Colours of the classes; transparent where there is none, or a hidden one."""
    palette = np.zeros((256, 4), np.uint8)
    shown = [number for number in range(len(legend.names)) if number not in hide]
    palette[:, :3] = legend.palette()
    palette[shown, 3] = 255
    return palette


def heat_palette() -> Palette:
    """From dark blue (1) to yellow (255); 0 is transparent."""
    palette = np.full((256, 4), 255, np.uint8)
    palette[1:, :3] = colours(np.linspace(0, 1, 255))
    palette[NOTHING] = 0
    return palette


def masked(parts: list[Bytes], hidden: frozenset[int]) -> Bytes:
    """Give the numbers of a picture's first plane, `NOTHING` where the second one is hidden."""
    if len(parts) == 1:
        return parts[0]
    lost = np.zeros(256, bool)
    lost[list(hidden)] = True
    return np.where(lost[parts[1]], np.uint8(NOTHING), np.maximum(parts[0], 1))


def as_png(numbers: Bytes, palette: Palette) -> bytes:
    """Write numbers as a PNG with a palette, so that they can be read back as well."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(numbers)).convert("L")
    picture.putpalette(palette[:, :3].tobytes())
    file = BytesIO()
    alpha = palette[:, 3].tobytes()
    picture.save(file, "PNG", transparency=alpha, compress_level=1)
    return file.getvalue()
