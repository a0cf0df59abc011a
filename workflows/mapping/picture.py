"""A map as one PNG: classes in their colours, or how unsure it is in grey."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.files import replacing
from tiling.tissuemap import CLASSES, ENTROPY, NO_CLASS, ClassMap, bands
from workflows.mapping.pyramid import Pyramid, halve_classes, halve_values, level_sizes

Bytes = NDArray[np.uint8]

MAX_PX = 4096
"""Longest side of a picture: what browsers and viewers show at once."""


def reduce_map(source: ClassMap, array: str = CLASSES, max_px: int = MAX_PX) -> Bytes:
    """Halve an array until its longest side is at most `max_px`, `(h, w)`.

    Of classes each step keeps the most frequent one, of entropy the mean.
    """
    sizes = level_sizes(source.frame.height_px, source.frame.width_px, max_px)
    rows: list[Bytes] = []

    def take(level: int, found: Bytes) -> None:
        if level == len(sizes) - 1:
            rows.append(found)

    halve = halve_classes if array == CLASSES else halve_values
    pyramid = Pyramid(len(sizes), take, halve)
    for band in bands(source, array):
        pyramid.add(band)
    pyramid.finish()
    return np.concatenate(rows)


def write_png(source: ClassMap, path: Path, *, max_px: int = MAX_PX) -> tuple[int, int]:
    """Write the classes in their colours, transparent where there is none; gives height and width.

    The picture holds class numbers and a palette, so that it can be read back as well.
    """
    from PIL import Image

    classes = reduce_map(source, CLASSES, max_px)
    picture = Image.fromarray(classes)  # grey of 8 bits
    picture = picture.convert("L")
    picture.putpalette(source.legend.palette().ravel().tolist())
    with replacing(path) as temporary:
        picture.save(temporary, "PNG", transparency=NO_CLASS, optimize=False)
    return classes.shape[0], classes.shape[1]


def write_entropy_png(source: ClassMap, path: Path, *, max_px: int = MAX_PX) -> tuple[int, int]:
    """Write the entropy, black where the map is sure and white where all classes are equal."""
    from PIL import Image

    entropy = reduce_map(source, ENTROPY, max_px)
    with replacing(path) as temporary:
        Image.fromarray(entropy).save(temporary, "PNG")
    return entropy.shape[0], entropy.shape[1]
