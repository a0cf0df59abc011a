from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiling.store import Archive
from workflows.estimate import Work, seconds_of

Run = Callable[..., Any]


def test_a_plan_is_what_is_cut(microtome: Run, tiled: Path, cmu_slide: Path) -> None:
    (known,) = microtome("plan", cmu_slide, "--patch-size", 240, "--json").document["plans"]
    store = Archive.open(str(tiled))["CMU-1-Small-Region"]
    assert known["n_patches"] == len(store)
    assert known["n_grid"] == store.attributes["n_grid"]
    assert known["encoding"]["label"] == "passthrough"
    assert known["files"] == sum(
        1 for path in (tiled / store.slide_id).rglob("*") if path.is_file()
    )
    shard = tiled / store.slide_id / "patches/c/0/0/0/0"
    assert known["bytes"] == pytest.approx(shard.stat().st_size, rel=0.05)


def test_plan_says_what_the_archive_holds_already(
    microtome: Run, tiled: Path, cmu_slide: Path
) -> None:
    words = ["plan", cmu_slide, "--out", tiled, "--json"]
    same = microtome(*words, "--patch-size", 240)
    assert (same.code, same.document["plans"][0]["state"]) == (0, "done")
    assert same.document["total"]["patches"] == 0
    other = microtome(*words)
    assert (other.code, other.document["plans"][0]["state"]) == (2, "conflict")


def test_dry_run_with_overwrite_is_no_conflict(
    microtome: Run, tiled: Path, cmu_slide: Path
) -> None:
    words = ["tile", cmu_slide, "--out", tiled, "--dry-run", "--overwrite"]
    assert microtome(*words).code == 0


def test_slides_that_would_fail_are_told(microtome: Run, slides_folder: Path) -> None:
    ran = microtome("plan", slides_folder / "dicom")
    assert ran.code == 3
    assert "enlarging is refused" in ran.out
    assert "camelyon-lowres-jpeg" in ran.out


def test_plan_is_in_the_order_that_was_asked_for(
    microtome: Run, slides_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.plan.ALONE", 0)
    names = ["sm_image-10px-tiles.dcm", "camelyon-lowres-jpeg.dcm", "bone-jpeg2000-lossless.dcm"]
    slides = [slides_folder / "dicom" / name for name in names]
    found = microtome("plan", *slides, "--workers", 2, "--json").document["plans"]
    assert [Path(known["path"]).name for known in found] == names


def test_time_grows_with_what_is_read_and_written() -> None:
    copied = Work(1000, 256, 1.0, "jpeg", "passthrough")
    encoded = Work(1000, 256, 1.0, "jpeg", "jpeg:95")
    reduced = Work(1000, 256, 4.0, "jpeg", "jpeg:95")
    regions = Work(1000, 256, 4.0, "region", "lossless")
    times = [seconds_of(work) for work in (copied, encoded, reduced, regions)]
    assert times == sorted(times)
