"""Pictures for people: a slide's thumbnail with tissue and kept patches, and contact sheets.

Colours are Okabe and Ito's, which colour-blind people tell apart, and which tissue seldom has.
"""

import io

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]

TISSUE_COLOUR = (0, 158, 115)
"""Bluish green: the tissue's outline."""

PATCH_COLOUR = (0, 114, 178)
"""Blue: the kept patches."""

DARK_TISSUE_COLOUR = (240, 228, 66)
"""Yellow: the tissue's outline on a dark picture."""

DARK_PATCH_COLOUR = (86, 180, 233)
"""Sky blue: the kept patches on a dark picture."""

DARK_MEAN = 64
"""Mean brightness below which a picture is dark."""

MIN_CELL_PX = 6
"""Patches that are smaller in the picture are tinted: their lines would cover everything."""

TINT = 0.3
"""Strength of the tint."""

MAX_PX = 1024
"""Longest side of a picture by default."""


def draw_overview(
    thumbnail: Rgb,
    mask: NDArray[np.bool_],
    coords: NDArray[np.integer],
    footprint: tuple[float, float],
    slide_size: tuple[int, int],
    *,
    max_px: int = MAX_PX,
) -> Rgb:
    """Draw the tissue's outline and the kept patches on a slide's thumbnail.

    Args:
        thumbnail: the whole slide, (h, w, 3).
        mask: tissue on any grid over the whole slide, (h', w').
        coords: x, y of the kept patches' top-left corners in level-0 px, (N, 2).
        footprint: width, height of a patch in level-0 px.
        slide_size: width, height of level 0.
        max_px: longest side of the result; a smaller thumbnail is not enlarged.

    Returns:
        The picture, (h'', w'', 3).
    """
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(thumbnail))
    if max(picture.size) > max_px:
        picture.thumbnail((max_px, max_px), Image.Resampling.BOX)
    drawn = np.array(picture)
    dark = drawn.mean() < DARK_MEAN
    shape = drawn.shape[:2]
    boxes = _boxes(coords, footprint, slide_size, shape)
    drawn = _draw_patches(drawn, boxes, DARK_PATCH_COLOUR if dark else PATCH_COLOUR)
    drawn[_outline(mask, shape)] = DARK_TISSUE_COLOUR if dark else TISSUE_COLOUR
    return drawn


def contact_sheet(patches: Rgb, *, columns: int = 8, cell_px: int = 96, gap_px: int = 2) -> Rgb:
    """Lay patches out in rows on white, each reduced or enlarged to `cell_px`.

    Args:
        patches: (N, P, P, 3); N = 0 gives one empty row.
        columns: patches per row.
        cell_px: side of a patch in the sheet.
        gap_px: white between and around them.

    Returns:
        The sheet, (rows * (cell + gap) + gap, columns * (cell + gap) + gap, 3).
    """
    from PIL import Image

    pitch = cell_px + gap_px
    rows = max(1, -(-len(patches) // columns))
    sheet = np.full((rows * pitch + gap_px, columns * pitch + gap_px, 3), 255, np.uint8)
    for i, patch in enumerate(patches):
        small = Image.fromarray(patch).resize((cell_px, cell_px), Image.Resampling.BOX)
        top, left = (n * pitch + gap_px for n in divmod(i, columns))
        sheet[top : top + cell_px, left : left + cell_px] = np.asarray(small)
    return sheet


def pick_evenly(count: int, wanted: int) -> NDArray[np.int64]:
    """Return at most `wanted` of `count` indices, evenly spread, for a contact sheet."""
    return np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64)


def tissue_outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return the closed outlines of tissue and of its holes, for drawing with the even-odd rule.

    Returns:
        Corners x, y in pixels of the mask, whose first pixel's corner is at (0, 0), each (K, 2),
        first equal to last; simplified to within 0.3 px, so every pixel centre stays on its side.
    """
    from skimage.measure import approximate_polygon, find_contours

    padded = np.pad(mask, 1).astype(np.float32)
    lines = (approximate_polygon(line, 0.3) for line in find_contours(padded, 0.5))
    return [np.asarray(line[:, ::-1] - 0.5, np.float64) for line in lines if len(line) > 3]


def encode_png(picture: Rgb) -> bytes:
    """Return a picture as PNG."""
    return _encode(picture, "PNG", optimize=True)


def encode_jpeg(picture: Rgb, quality: int = 85) -> bytes:
    """Return a picture as JPEG."""
    return _encode(picture, "JPEG", quality=quality, optimize=True)


def _encode(picture: Rgb, kind: str, **options: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, kind, **options)
    return buffer.getvalue()


def _boxes(
    coords: NDArray[np.integer],
    footprint: tuple[float, float],
    slide_size: tuple[int, int],
    shape: tuple[int, ...],
) -> NDArray[np.float64]:
    """Return left, top, right, bottom of every patch in px of the picture, (N, 4)."""
    scale = np.array([shape[1] / slide_size[0], shape[0] / slide_size[1]])
    starts = np.asarray(coords, np.float64).reshape(-1, 2)
    return np.hstack([starts * scale, (starts + footprint) * scale])


def _draw_patches(picture: Rgb, boxes: NDArray[np.float64], colour: tuple[int, int, int]) -> Rgb:
    """Draw boxes as lines one pixel wide, or tint them where they are small."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    if len(boxes) == 0:
        return picture
    small = bool((boxes[0, 2:] - boxes[0, :2]).min() < MIN_CELL_PX)
    layer = Image.new("L", image.size)
    pen = ImageDraw.Draw(layer)
    for left, top, right, bottom in np.round(boxes).astype(int).tolist():
        corner = (max(left, right - 1), max(top, bottom - 1)) if small else (right, bottom)
        if small:
            pen.rectangle(((left, top), corner), fill=round(255 * TINT))
        else:
            pen.rectangle(((left, top), corner), outline=255)
    image.paste(colour, mask=layer)
    return np.array(image)


def _outline(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the border of the mask on the picture's grid, two pixels wide, (h, w)."""
    from scipy import ndimage

    rows = ((np.arange(shape[0]) + 0.5) * mask.shape[0] / shape[0]).astype(int)
    columns = ((np.arange(shape[1]) + 0.5) * mask.shape[1] / shape[1]).astype(int)
    here = mask[np.ix_(rows, columns)]
    grown = ndimage.maximum_filter(here, 3)
    shrunk = ndimage.minimum_filter(here, 3)
    return np.asarray(grown & ~shrunk, np.bool_)
