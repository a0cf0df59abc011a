"""The planted archive, once for all formats, and as a copy for tests that change it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.bags.bag import Bag
from tests.models.bags import planted as making


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> Path:
    """Archive of seven slides, f[i] = (slide, row, col, x, y, 0...); not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        return making.make_archive(tmp_path_factory.mktemp("planted"), cmu_slide, patch)


@pytest.fixture
def own_archive(planted: Path, tmp_path: Path) -> Path:
    """A copy of the archive, for a test to change."""
    return Path(shutil.copytree(planted, tmp_path / "own.zarr"))


@pytest.fixture
def bag(planted: Path) -> Callable[..., Bag]:
    """Open a slide of the planted archive as a bag."""

    def opened(slide_id: str, *arguments: Any, **choices: Any) -> Bag:
        return making.bag_of(planted, slide_id, *arguments, **choices)

    return opened
