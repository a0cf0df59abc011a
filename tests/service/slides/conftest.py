"""Slides with a pyramid, and what a client does with slides."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from starlette.testclient import TestClient

from wsi import Point, Region, Slide, open_slide
from wsi.synthetic import SvsSpec, write_svs

Pixels = npt.NDArray[np.uint8]

SIDE_PX = 2560
"""Levels of 2560, 640 and 160 px with tiles of 256: whole tiles at the edge of level 0 only."""


@pytest.fixture(scope="session")
def pyramid_slide(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> Path:
    """An SVS with levels 1, 4 and 16, whose JPEG tiles are RGB as the bundled slide's are."""
    path = tmp_path_factory.mktemp("pyramid") / "pyramid.svs"
    with open_slide(cmu_slide) as slide:
        pixels = read_level(slide, 0)
    write_svs(path, pixels, SIDE_PX, SvsSpec(codec="jpeg-rgb", mpp=0.5))
    return path


def read_level(slide: Slide, level: int) -> Pixels:
    """All pixels of a level."""
    return slide.read_region(Region(Point(0, 0), level, slide.levels[level].size))


def register(client: TestClient, path: str, **more: object) -> str:
    """Register a slide and give its ID."""
    answer = client.post("/api/v1/slides", json={"path": path, **more})
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    return found


def decoded(data: bytes) -> Pixels:
    """Pixels of a picture."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def psnr(one: Pixels, other: Pixels) -> float:
    """Likeness in dB; infinite where they are the same."""
    error = float(np.mean((one.astype(float) - other.astype(float)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))
