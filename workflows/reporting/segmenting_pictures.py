"""Patches beside their true and predicted masks, for the page and as one picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

CELL_PX = 192
"""Side of a patch in the picture of all."""
MOST_PX = 288
"""Side of a patch in the page at most."""
GAP_PX, LINE_PX, LETTER_PX, MARK_PX = 6, 24, 14, 12
INK = (27, 31, 35)
GREY = (200, 200, 200)
"""Of pixels whose truth is not known."""

HEADINGS = {
    "image": "image",
    "truth": "truth",
    "cam": "activation maps",
    "segmenter": "without gate",
    "gated": "with gate",
}
"""Of columns, for people."""

Pixels = NDArray[np.uint8]
Colour = Sequence[int]


@dataclass(frozen=True)
class Panel:
    """One patch: its name, and pictures (H, W, 3) by column, all of one size."""

    name: str
    pictures: dict[str, Pixels]


def make_panel(
    name: str, pixels: Pixels, masks: Mapping[str, Pixels], colours: Sequence[Colour]
) -> Panel:
    """Colour the masks of a patch.

    Args:
        name: of the patch.
        pixels: (H, W, 3).
        masks: by column, (H, W); of C classes C is background, and 255 not known.
        colours: of the C classes.
    """
    painted = {column: _reduced(paint(mask, colours)) for column, mask in masks.items()}
    return Panel(name, {"image": _reduced(pixels, smooth=True), **painted})


def paint(mask: Pixels, colours: Sequence[Colour]) -> Pixels:
    """Colour classes, (H, W, 3): background is white, pixels without a mask are grey."""
    table = np.full((256, 3), GREY, np.uint8)
    table[: len(colours)] = colours
    table[len(colours)] = 255
    return np.asarray(table[mask], np.uint8)


def draw_sheet(drawn: Sequence[Panel], legend: Sequence[tuple[str, Colour]]) -> Pixels:
    """Draw all patches, one per row, with headings above and the classes below, (h, w, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    columns, pitch = list(drawn[0].pictures), CELL_PX + GAP_PX
    font = ImageFont.load_default(LETTER_PX)
    wide, floor = len(columns) * pitch + GAP_PX, LINE_PX + len(drawn) * pitch
    placed = _flow([name for name, _ in legend], wide, font.getlength)
    sheet = Image.new("RGB", (wide, floor + placed[-1][1] + LINE_PX + GAP_PX), "white")
    pen = ImageDraw.Draw(sheet)
    for number, column in enumerate(columns):
        left = GAP_PX + number * pitch
        pen.text((left, 3), HEADINGS[column], INK, font)
        for row, panel in enumerate(drawn):
            top = LINE_PX + row * pitch
            cell = _resized(panel.pictures[column], CELL_PX, smooth=column == "image")
            sheet.paste(cell, (left, top))
            pen.rectangle((left, top, left + CELL_PX - 1, top + CELL_PX - 1), outline=GREY)
    for (name, colour), (left, line) in zip(legend, placed, strict=True):
        top = floor + line + 4
        pen.rectangle((left, top + 2, left + MARK_PX, top + 2 + MARK_PX), tuple(colour), GREY)
        pen.text((left + MARK_PX + 6, top), name, INK, font)
    return np.asarray(sheet)


def _flow(names: Sequence[str], wide: int, length: Callable[[str], float]) -> list[tuple[int, int]]:
    """Place marks with names in lines: left and top of each."""
    found, left, top = [], GAP_PX, 0
    for name in names:
        needed = MARK_PX + 24 + round(length(name))
        if left > GAP_PX and left + needed > wide:
            left, top = GAP_PX, top + LINE_PX
        found.append((left, top))
        left += needed
    return found


def _reduced(picture: Pixels, *, smooth: bool = False) -> Pixels:
    """Make a picture smaller where it is larger than a page shows."""
    if max(picture.shape[:2]) <= MOST_PX:
        return picture
    return np.asarray(_resized(picture, MOST_PX, smooth=smooth))


def _resized(picture: Pixels, side_px: int, *, smooth: bool) -> "Image.Image":
    from PIL import Image

    kind = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return Image.fromarray(np.ascontiguousarray(picture)).resize((side_px, side_px), kind)
