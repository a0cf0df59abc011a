"""Fixtures for every test: the bundled slide, and the folder of further real slides."""

import logging
import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)  # the same examples in every run
settings.load_profile("repeatable")

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def audible() -> None:
    """Let pytest hear of warnings again: a quiet command or a cluster may have turned them down."""
    logging.getLogger().setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def cmu_slide() -> Path:
    """The bundled CMU-1-Small-Region.svs: 2220 x 2967 px, 0.499 um/px, JPEG tiles of 240 px."""
    return ROOT / "tests" / "data" / "CMU-1-Small-Region.svs"


@pytest.fixture(scope="session")
def slides_folder() -> Path:
    """A folder of further real slides; tests that need it skip where there is none."""
    named = os.environ.get("MICROTOME_TEST_SLIDES")
    folder = Path(named) if named else ROOT.parent / "shared" / "data" / "slides"
    if not folder.is_dir():
        pytest.skip("further real slides: set MICROTOME_TEST_SLIDES to their folder")
    return folder
