"""Deaths at the very steps that random moments seldom hit; each is reached for certain."""

from pathlib import Path

import pytest

from tests.tiling.faults.conftest import COPYING, OPTIONS, Cut
from tests.tiling.faults.harness import (
    Slides,
    assert_committed_is_whole,
    assert_same,
    started,
)

STEPS = {
    "while the archive is made": ("zarr.json", "within"),
    "while the run announces itself": (r"runs/\w+\.json", "within"),
    "while a lease is taken": ("leases/bundled/000000", "within"),
    "while planning": (r"bundled\.\w+/coords/zarr.json", "before"),
    "in the middle of a small array": (r"bundled\.\w+/thumbnail/c/0/0/0", "within"),
    "in the middle of the first shard": (r"bundled\.\w+/patches/c/0/0/0/0", "within"),
    "between two shards": (r"bundled\.\w+/patches/c/0/0/0/0", "after"),
    "in the middle of the last shard": (r"bundled\.\w+/patches/c/1/0/0/0", "within"),
    "in the middle of the commit's document": (r"bundled\.\w+/zarr.json", "within"),
    "right before the commit": ("bundled/zarr.json", "before"),
    "right after the commit": ("bundled/zarr.json", "after"),
    "while the index is written": ("slides.parquet", "within"),
    "when the index is written": ("slides.parquet", "after"),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_power_cut_at_any_step_is_made_good(
    step: str, slides: Slides, reference: Path, tmp_path: Path, cut: Cut
) -> None:
    archive = tmp_path / "a.zarr"
    key, moment = STEPS[step]
    die_at = {"key": key, "moment": moment}
    with started(archive, slides, OPTIONS, workers=1, die_at=die_at) as run:
        run.process.wait(timeout=120)
        assert run.process.returncode == -9
    before = assert_committed_is_whole(archive)
    summary = cut(archive, slides)
    assert sorted(o.slide_id for o in summary.outcomes if o.state == "skipped") == before
    assert_same(archive, reference)


REPLACING = {
    "in the middle of the first shard": (r"bundled\.\w+/patches/c/0/0/0/0", "within"),
    "right before the exchange": ("bundled/zarr.json", "before"),
    "with the old version still to be removed": ("bundled/zarr.json", "within"),
    "right after it": ("bundled/zarr.json", "after"),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", REPLACING)
def test_a_slide_that_is_being_replaced_is_there_all_the_time(
    step: str, slides: Slides, reference: Path, tmp_path: Path, cut: Cut
) -> None:
    archive = tmp_path / "a.zarr"
    cut(archive, slides, COPYING)
    key, moment = REPLACING[step]
    die_at = {"key": key, "moment": moment}
    with started(archive, slides, OPTIONS, workers=1, overwrite=True, die_at=die_at) as run:
        run.process.wait(timeout=120)
        assert run.process.returncode == -9
    assert sorted(assert_committed_is_whole(archive)) == sorted(slides)
    cut(archive, slides, overwrite=True)
    assert_same(archive, reference)


WORKER_STEPS = {
    "while planning": (r"bundled\.\w+/coords/zarr.json", "before", 1),
    "in the middle of a small array": (r"bundled\.\w+/thumbnail/c/0/0/0", "within", 2),
    "in the middle of a shard": (r"bundled\.\w+/patches/c/0/0/0/0", "within", 2),
    "with a shard written and not reported": (r"bundled\.\w+/patches/c/1/0/0/0", "after", 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", WORKER_STEPS)
def test_a_dead_worker_costs_the_run_nothing(
    step: str, slides: Slides, reference: Path, tmp_path: Path
) -> None:
    archive, died = tmp_path / "a.zarr", tmp_path / "died"
    key, moment, workers = WORKER_STEPS[step]
    die_at = {"key": key, "moment": moment, "alone": str(died)}
    with started(archive, slides, OPTIONS, workers=workers, die_at=die_at) as run:
        assert {outcome["state"] for outcome in run.finish()} == {"done"}
    assert died.exists()
    assert_same(archive, reference)
