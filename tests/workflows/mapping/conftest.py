"""Small real slides, their archive, and small networks that were never trained."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tiling.archives import cut
from tests.workflows.conftest import Microtome
from tests.workflows.mapping.trained import make_run
from tiling.tissue import TissueOptions
from wsi import Point, Region, Size, open_slide
from wsi.synthetic import SvsSpec, write_svs

SIDE_PX = 320
SPEC = SvsSpec(tile_px=256, mpp=0.5, downsamples=(1, 4), with_associated=False)

Map = Callable[..., Any]


@pytest.fixture(scope="session")
def slides(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> Path:
    """A folder of the slides `a` (320 px a side, 0.5 um/px) and `b` (200 x 240 px)."""
    folder = tmp_path_factory.mktemp("slides")
    write_svs(folder / "a.svs", cmu_slide, SIDE_PX, SPEC)
    write_svs(folder / "b.svs", cmu_slide, (200, 240), SPEC)
    return folder


@pytest.fixture(scope="session")
def sample(slides: Path) -> Tensor:
    """Windows of slide `a`, uint8 (16, 64, 64, 3)."""
    with open_slide(str(slides / "a.svs")) as slide:
        places = [(x, y) for y in range(10, 250, 60) for x in range(10, 250, 60)]
        parts = [slide.read_region(Region(Point(x, y), 0, Size(64, 64))) for x, y in places]
    return torch.from_numpy(np.stack(parts))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, sample: Tensor) -> Path:
    """Folder of a run: a segmenter and a classifier of three classes, 64 px, 0.5 um/px."""
    return make_run(tmp_path_factory.mktemp("trained") / "run", sample)


@pytest.fixture(scope="session")
def cut_slides(tmp_path_factory: pytest.TempPathFactory, slides: Path) -> Path:
    """An archive of both slides with their tissue."""
    archive = tmp_path_factory.mktemp("cut") / "a.zarr"
    for name, source in (("a", "a"), ("b", "b")):
        cut(archive, slides / f"{source}.svs", name, tissue=TissueOptions(thumbnail_px=200))
    return archive


@pytest.fixture
def archive(cut_slides: Path, tmp_path: Path) -> Path:
    """A copy for a test to change."""
    return shutil.copytree(cut_slides, tmp_path / "a.zarr")


@pytest.fixture
def make_map(microtome: Microtome, scheduler: str, trained: Path) -> Map:
    """Run the command on the session's worker, with the trained run unless told otherwise."""

    def run(*words: object, model: Path | None = trained) -> Any:
        given = () if model is None else ("--model", model)
        return microtome("map", *words, *given, "--scheduler", scheduler)

    return run
