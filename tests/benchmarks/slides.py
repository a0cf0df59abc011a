"""The slides that are measured on: generated from the bundled one, kept in .bench between runs."""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsi import Point, Region, open_slide
from wsi.synthetic import SvsSpec, write_svs

ROOT = Path(__file__).parent.parent.parent
WORK = ROOT / ".bench"
SOURCE = ROOT / "tests" / "data" / "CMU-1-Small-Region.svs"


RGB = SvsSpec(tile_px=256, mpp=0.25, codec="jpeg-rgb", quality=30)
"""As the bundled slide says of itself: JPEG/RGB, Q=30; its tiles have the same tables."""

SUBSAMPLED = SvsSpec(tile_px=256, mpp=0.25, codec="jpeg", subsampling="422", quality=75)
"""What other scanners write."""


def slide(side_px: int = 24_576, number: int = 0, spec: SvsSpec = RGB) -> Path:
    """Give a JPEG SVS of `side_px` with 256 px tiles at 0.25 um/px; copies differ by name only."""
    path = WORK / f"slide-{side_px}-{spec.codec}-{number}.svs"
    if not path.exists():
        WORK.mkdir(exist_ok=True)
        temporary = path.with_suffix(".tmp.svs")
        if number:
            shutil.copyfile(slide(side_px, spec=spec), temporary)
        else:
            write_svs(temporary, enlarged(), side_px, spec)
        temporary.rename(path)
    return path


def enlarged() -> NDArray[np.uint8]:
    """Give the bundled slide's pixels, of 0.5 um/px, as at 0.25 um/px: tissue in its true size."""
    with open_slide(str(SOURCE)) as opened:
        picture = Image.fromarray(opened.read_region(Region(Point(0, 0), 0, opened.size)))
    double = (2 * picture.width, 2 * picture.height)
    return np.asarray(picture.resize(double, Image.Resampling.BICUBIC))


def out(name: str) -> Path:
    """Give a place for an archive, empty."""
    path = WORK / f"{name}.zarr"
    shutil.rmtree(path, ignore_errors=True)
    return path
