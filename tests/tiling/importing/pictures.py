"""Small images of every kind that patch sets hold."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def picture(seed: int, side: int = 32, width: int | None = None) -> Pixels:
    """A smooth RGB picture (side, width, 3), different for every seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    return np.asarray(coarse.resize((width or side, side), Image.Resampling.BICUBIC))


def save(path: Path, pixels: Pixels | Image.Image, **options: Any) -> Path:
    """Write an image in the format of its extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def turned_jpeg(path: Path, pixels: Pixels, orientation: int = 6) -> Path:
    """A JPEG that EXIF says is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(path, pixels, exif=exif.tobytes())


def encoded(pixels: Pixels, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows under the columns of the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
