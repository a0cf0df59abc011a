"""Two runs into one archive at once: they share the slides, and neither corrupts the other."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.tiling.faults.conftest import COPYING, OPTIONS, Cut
from tests.tiling.faults.harness import Slides, assert_same, started

REPEATS = 2


@pytest.mark.slow
@pytest.mark.parametrize("repeat", range(REPEATS))
def test_two_runs_share_the_slides(
    repeat: int, slides: Slides, reference: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "a.zarr"
    backwards = dict(reversed(slides.items())) if repeat % 2 else slides
    with (
        started(archive, slides, OPTIONS, workers=1) as one,
        started(archive, backwards, OPTIONS, workers=1) as other,
    ):
        first, second = one.finish(), other.finish()
    for slide_id in slides:
        states = [o["state"] for o in first + second if o["slide_id"] == slide_id]
        assert sorted(states) == ["done", "skipped"]
    assert_same(archive, reference)


@pytest.mark.slow
def test_runs_of_overlapping_slides_make_the_union(
    slides: Slides, reference: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "a.zarr"
    names = list(slides)
    left, right = ({name: slides[name] for name in part} for part in (names[:2], names[1:]))
    with (
        started(archive, left, OPTIONS, workers=1) as one,
        started(archive, right, OPTIONS, workers=1) as other,
    ):
        outcomes = one.finish() + other.finish()
    assert sum(o["state"] == "done" for o in outcomes) == len(slides)
    assert not any(o["state"] == "failed" for o in outcomes)
    assert_same(archive, reference)


@pytest.mark.slow
def test_many_small_runs_leave_an_index_of_everything(
    cmu_slide: Path, tmp_path: Path, cut: Cut
) -> None:
    alone, shared = tmp_path / "alone.zarr", tmp_path / "shared.zarr"
    slides = {f"slide-{number}": str(cmu_slide) for number in range(3)}
    cut(alone, slides, COPYING)
    with ExitStack() as stack:
        runs = [
            stack.enter_context(started(shared, {name: location}, COPYING, workers=1))
            for name, location in slides.items()
        ]
        for run in runs:
            assert [o["state"] for o in run.finish()] == ["done"]
    assert_same(shared, alone)


@pytest.mark.slow
def test_a_dead_run_is_taken_over_while_another_waits_for_it(
    slides: Slides, reference: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "a.zarr"
    die_at = {"key": "bundled/zarr.json", "moment": "before"}
    with (
        started(archive, slides, OPTIONS, workers=1, die_at=die_at) as dying,
        started(archive, slides, OPTIONS, workers=1) as other,
    ):
        outcomes = other.finish()
        dying.process.wait(timeout=120)
    assert not any(o["state"] == "failed" for o in outcomes)
    assert_same(archive, reference)
