"""kill -9 at chosen objects: nothing half is visible, and the next run ends as if nothing was."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiling.faults.harness import assert_committed_is_whole, assert_same, environment
from tests.tiling.importing.pictures import picture, save, write_csv

IMPORTER = Path(__file__).with_name("importer.py")

STEPS = {
    "while the archive is made": ("zarr.json", "within"),
    "while a lease is taken": ("leases/p1/000000", "within"),
    "in the middle of a shard": (r"p1\.\w+/patches/c/0/0/0/0", "within"),
    "in the middle of the masks": (r"p1\.\w+/masks/c/0/0/0", "within"),
    "in the middle of the labels": (r"p1\.\w+/labels/c/0", "within"),
    "right before the commit": ("p1/zarr.json", "before"),
    "right after the commit": ("p1/zarr.json", "after"),
    "in the middle of the index": ("slides.parquet", "within"),
}


def run(source: Path, archive: Path, die_at: dict[str, str] | None = None) -> int:
    request = {"source": str(source), "archive": str(archive), "die_at": die_at}
    words = [sys.executable, str(IMPORTER), json.dumps(request)]
    done = subprocess.run(
        words, env=environment(), start_new_session=True, capture_output=True, timeout=120
    )
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients with masks and labels."""
    root = tmp_path_factory.mktemp("set")
    rows = []
    for i in range(9):
        save(root / "img" / f"{i}.jpg", picture(i))
        save(root / "mask" / f"{i}.png", picture(i)[..., 0] // 64)
        row = {"file": f"img/{i}.jpg", "mask": f"mask/{i}.png", "patient": f"p{i % 3}"}
        rows.append(row | {"label": "ab"[i % 2]})
    return write_csv(root / "set.csv", rows)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    archive = tmp_path_factory.mktemp("reference") / "a.zarr"
    assert run(source, archive) == 0
    assert assert_committed_is_whole(archive) == ["p0", "p1", "p2"]
    return archive


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_import_is_finished_by_the_next(
    step: str, source: Path, reference: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "a.zarr"
    key, moment = STEPS[step]
    assert run(source, archive, {"key": key, "moment": moment}) == -9
    committed = assert_committed_is_whole(archive)
    assert ("p1" in committed) == (step in ("right after the commit", "in the middle of the index"))
    assert run(source, archive) == 0
    assert_same(archive, reference)
