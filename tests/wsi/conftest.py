"""Small slides with known pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

MPP = 0.25


@dataclass(frozen=True)
class KnownSlide:
    """A slide file and the pixels of its level 0, u1 (h, w, 3)."""

    location: str
    base: npt.NDArray[np.uint8]


def smooth_pixels(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Gradients in red and green, a chequer of 32 px in blue: every place looks different."""
    y, x = np.mgrid[:height, :width]
    blue = ((x // 32 + y // 32) % 2) * 100 + 50
    return np.stack([x * 255 // width, y * 255 // height, blue], axis=2).astype(np.uint8)


def halved(base: npt.NDArray[np.uint8], times: int) -> npt.NDArray[np.uint8]:
    """The base at 1 / 2**times, sides rounded up, so that the whole of it is shown."""
    height, width = (-(-side // 2**times) for side in base.shape[:2])
    return np.asarray(Image.fromarray(base).resize((width, height), Image.Resampling.BOX))


def write_known_pyramid(path: Path, base: npt.NDArray[np.uint8], levels: int = 3) -> None:
    """A tiled lossless TIFF that OpenSlide and TiffSlide open; each level halves the one before."""
    with tifffile.TiffWriter(path) as writer:
        for level in range(levels):
            pixels = halved(base, level)
            writer.write(
                pixels,
                tile=(64, 64),
                photometric="rgb",
                compression="deflate",
                resolution=(1e4 / MPP / 2**level, 1e4 / MPP / 2**level),
                resolutionunit="CENTIMETER",
                subfiletype=int(level > 0),
                metadata=None,
            )


@pytest.fixture(scope="session")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> KnownSlide:
    """An odd-sized pyramid, 333 x 257 px, 0.25 um/px, three levels."""
    path = tmp_path_factory.mktemp("pyramid") / "pyramid.tif"
    base = smooth_pixels(257, 333)
    write_known_pyramid(path, base)
    return KnownSlide(str(path), base)


@pytest.fixture(scope="session")
def cmu_pixels(cmu_slide: Path) -> npt.NDArray[np.uint8]:
    """The bundled slide's level 0 as tifffile decodes it, u1 (2967, 2220, 3)."""
    return np.asarray(tifffile.imread(cmu_slide, key=0))
