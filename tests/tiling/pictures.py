"""Pictures of glass, tissue and ink whose answer is known, for the tests of detection."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

UM_PER_PX = 12.0
EOSIN = (200, 110, 165)
HAEMATOXYLIN = (75, 70, 150)
INKS = {"blue": (30, 60, 170), "green": (20, 130, 70), "red": (210, 30, 40), "black": (25, 25, 28)}


def glass(
    shape: tuple[int, int], colour: tuple[int, int, int] = (243, 241, 243)
) -> NDArray[np.uint8]:
    """Return empty glass with a scanner's noise, (h, w, 3)."""
    noise = np.random.default_rng(0).normal(size=(*shape, 1)) * 1.5
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def ellipse(shape: tuple[int, int], box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Return a filled ellipse in the box left, top, right, bottom, (h, w)."""
    image = Image.new("1", shape[::-1])
    ImageDraw.Draw(image).ellipse(box, fill=1)
    return np.array(image)


def stain(
    picture: NDArray[np.uint8], where: NDArray[np.bool_], colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Return the picture with textured tissue of a colour, (h, w, 3)."""
    rng = np.random.default_rng(1)
    fine = rng.normal(size=where.shape)
    small = rng.normal(size=(where.shape[0] // 12 + 1, where.shape[1] // 12 + 1))
    coarse = small.repeat(12, axis=0).repeat(12, axis=1)[: where.shape[0], : where.shape[1]]
    tissue = np.array(colour) + (fine * 10 + coarse * 12)[..., None]
    return np.where(where[..., None], np.clip(tissue, 0, 255), picture).astype(np.uint8)


def draw_ink(
    picture: NDArray[np.uint8], colour: tuple[int, int, int], line: list[tuple[int, int]]
) -> NDArray[np.uint8]:
    """Return the picture with a blurred pen stroke half a millimetre wide, (h, w, 3)."""
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).line(line, fill=colour, width=round(500 / UM_PER_PX))
    return np.array(image.filter(ImageFilter.GaussianBlur(1)))
