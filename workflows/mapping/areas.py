"""Areas of the classes in square millimetres, and how sure the map is of them."""

import csv
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from models.files import write_whole
from tiling.tissuemap import CLASSES, ENTROPY, NO_CLASS, ClassMap, bands


@dataclass(frozen=True)
class ClassArea:
    """One class of a map.

    Attributes:
        name: of the class.
        pixels: of the map that have it.
        area_mm2: pixels times the area of a pixel.
        share: of all pixels that have a class; 0 where none has.
        entropy_mean: of its pixels, 0 (sure) to 1 (all classes are equal); None without pixels.
    """

    name: str
    pixels: int
    area_mm2: float
    share: float
    entropy_mean: float | None


@dataclass(frozen=True)
class Areas:
    """All classes of a map, in the order of their numbers, also those that never occur.

    Attributes:
        mpp: microns per pixel of the map, along x and y.
        pixels: that have a class.
        area_mm2: of these.
        entropy_mean: of these; None without any.
    """

    mpp: tuple[float, float]
    pixels: int
    area_mm2: float
    entropy_mean: float | None
    classes: tuple[ClassArea, ...]


def measure_areas(source: ClassMap) -> Areas:
    """Count the pixels of each class, band by band."""
    counts, sums = np.zeros(256, np.int64), np.zeros(256)
    pairs = zip(bands(source, CLASSES), bands(source, ENTROPY), strict=True)
    for classes, entropy in pairs:
        counts += np.bincount(classes.ravel(), minlength=256)
        sums += np.bincount(classes.ravel(), entropy.ravel(), minlength=256)
    counts[NO_CLASS], sums[NO_CLASS] = 0, 0
    total, pixel_mm2 = int(counts.sum()), source.frame.pixel_mm2
    rows = tuple(
        ClassArea(
            name=name,
            pixels=int(counts[number]),
            area_mm2=int(counts[number]) * pixel_mm2,
            share=int(counts[number]) / max(total, 1),
            entropy_mean=_mean(sums[number], counts[number]),
        )
        for number, name in enumerate(source.legend.names)
    )
    mpp = source.frame.mpp
    return Areas((mpp.x, mpp.y), total, total * pixel_mm2, _mean(sums.sum(), total), rows)


def write_areas_json(areas: Areas, path: Path) -> None:
    """Write all that is known."""
    write_whole(path, (json.dumps(asdict(areas), indent=1, ensure_ascii=False) + "\n").encode())


def write_areas_csv(areas: Areas, path: Path) -> None:
    """Write one row per class; a mean of nothing is empty."""
    text = io.StringIO()
    rows = [asdict(row) for row in areas.classes]
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_whole(path, text.getvalue().encode())


def _mean(entropy: float, pixels: int) -> float | None:
    return float(entropy) / int(pixels) / 255 if pixels else None
