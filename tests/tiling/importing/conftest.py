"""Imports in this process, and what the archive then holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiling.importing.labelling import parse_mode
from tiling.importing.patches import patch_jobs
from tiling.importing.planning import PatchOptions
from tiling.importing.rows import find_patches
from tiling.importing.run import run_import
from tiling.importing.sets import group_slides
from tiling.outcome import RunSummary
from tiling.store import Archive

Import = Callable[..., RunSummary]


@pytest.fixture
def import_patches(tmp_path: Path) -> Import:
    """Import a folder or a CSV into `tmp_path / "a.zarr"`."""

    def run(location: Path, **asked: Any) -> RunSummary:
        by, labels = asked.pop("by", "auto"), asked.pop("labels", "auto")
        archive = Archive.create(str(asked.pop("archive", tmp_path / "a.zarr")))
        more = {name: asked.pop(name) for name in ("overwrite", "workers") if name in asked}
        slides = group_slides(find_patches(str(location)), by, parse_mode(labels))
        jobs = list(patch_jobs(slides, PatchOptions(**asked), str(location)))
        return run_import(jobs, archive, **more)

    return run
