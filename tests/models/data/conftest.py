"""Archives of imported patches, small enough for every test, that several tests share."""

from pathlib import Path

import numpy as np
import pytest

from tests.tiling.importing.pictures import picture, save, write_csv
from tiling.importing.labelling import parse_mode
from tiling.importing.patches import patch_jobs
from tiling.importing.planning import PatchOptions
from tiling.importing.rows import find_patches
from tiling.importing.run import run_import
from tiling.importing.sets import group_slides
from tiling.labels import add_array, partition_array
from tiling.store import Archive

COUNTS = (7, 1, 12, 5)
"""Patches per slide."""


def import_set(table: Path, archive: Path, labels: str = "auto") -> Archive:
    slides = group_slides(find_patches(str(table)), "auto", parse_mode(labels))
    options = PatchOptions(skip_unreadable=True)
    jobs = list(patch_jobs(slides, options, str(table)))
    opened = Archive.create(str(archive))
    assert all(o.state == "done" for o in run_import(jobs, opened).outcomes)
    return opened


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slides of JPEG, PNG and decoded patches; the third of the last cannot be read."""
    root = tmp_path_factory.mktemp("dataset")
    rows = []
    for slide, count in enumerate(COUNTS):
        for i in range(count):
            ending = ("jpg", "png", "bmp", "jpg")[slide]
            path = save(root / f"s{slide}" / f"{i:02}.{ending}", picture(100 * slide + i))
            if (slide, i) == (3, 2):
                path.write_bytes(b"")
            row = {"file": f"s{slide}/{i:02}.{ending}", "patient": f"p{slide}", "site": "H"}
            rows.append(
                row | {"label": "abc"[(slide + i) % 3], "split": "train", "x": i, "y": slide}
            )
    opened = import_set(write_csv(root / "set.csv", rows), root / "a.zarr")
    part = partition_array(np.arange(COUNTS[2]) % 4)
    add_array(opened.storage, "p2", "partition", part)
    return root / "a.zarr"
