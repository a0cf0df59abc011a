import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiling.store import Archive
from workflows import cli
from workflows.cutting import CutConfig, find_sources

Run = Callable[..., Any]


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_run_leaves_archive_record_and_report(tiled: Path) -> None:
    store = Archive.open(str(tiled))["CMU-1-Small-Region"]
    record = json.loads(tiled.with_name("archive.zarr.run.json").read_text())
    assert record["slides"] == {"done": 1, "skipped": 0, "failed": 0}
    assert record["patches"] == len(store) == record["outcomes"][0]["patches"]
    assert record["config"]["patch_size"] == 240
    assert record["seconds"] > 0
    assert tiled.with_name("archive.zarr.report.html").is_file()
    assert not tiled.with_name("archive.zarr.failures.csv").exists()


def test_a_second_run_skips_and_changes_no_byte(
    microtome: Run, archive: Path, cmu_slide: Path, scheduler: str
) -> None:
    before = _tree(archive)
    words = ["tile", cmu_slide, "--out", archive, "--patch-size", 240, "--scheduler", scheduler]
    ran = microtome(*words, "--json")
    assert ran.code == 0
    assert ran.document["slides"] == {"done": 0, "skipped": 1, "failed": 0}
    after = _tree(archive)
    assert {key: after[key] for key in before if key != "slides.parquet"} == {
        key: before[key] for key in before if key != "slides.parquet"
    }


def test_other_options_are_a_conflict_unless_overwritten(
    microtome: Run, archive: Path, cmu_slide: Path, scheduler: str
) -> None:
    before = _tree(archive)
    words = ["tile", cmu_slide, "--out", archive, "--patch-size", 128, "--scheduler", scheduler]
    ran = microtome(*words)
    assert ran.code == 2
    assert "CMU-1-Small-Region was cut with other options" in ran.err
    assert "--overwrite" in ran.err
    assert _tree(archive) == before
    assert microtome(*words, "--overwrite", "--quiet").code == 0
    store = Archive.open(str(archive))["CMU-1-Small-Region"]
    assert store.attributes["patch_size_px"] == 128


def test_a_slide_that_fails_is_listed_and_the_others_are_cut(
    microtome: Run, cmu_slide: Path, tmp_path: Path, scheduler: str
) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    (slides / "good.svs").write_bytes(cmu_slide.read_bytes())
    (slides / "=bad.svs").write_bytes(b"not a slide")
    words = ["tile", slides, "--out", tmp_path / "a.zarr", "--scheduler", scheduler]
    ran = microtome(*words)
    assert ran.code == 3
    assert "1 done, 1 failed" in ran.out
    assert "=bad" in ran.out
    with (tmp_path / "a.zarr.failures.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["slide_id"].endswith("bad")
    assert row["cause"] == "UnsupportedSlideError"
    page = (tmp_path / "a.zarr.report.html").read_text()
    assert "Slides that failed" in page
    assert "No reader knows the format" in page
    (slides / "=bad.svs").unlink()
    assert microtome(*words, "--quiet").code == 0
    assert not (tmp_path / "a.zarr.failures.csv").exists()


def test_quiet_says_nothing_when_all_is_well(
    microtome: Run, archive: Path, cmu_slide: Path, scheduler: str
) -> None:
    words = ["tile", cmu_slide, "--out", archive, "--patch-size", 240, "--scheduler", scheduler]
    ran = microtome(*words, "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_dry_run_writes_nothing(microtome: Run, cmu_slide: Path, tmp_path: Path) -> None:
    ran = microtome("tile", cmu_slide, "--out", tmp_path / "a.zarr", "--dry-run")
    assert ran.code == 0
    assert "1 of 1 slide to cut" in ran.out
    assert not list(tmp_path.iterdir())


def test_a_run_of_its_own_workers_gives_the_same_bytes(
    microtome: Run, cmu_slide: Path, tmp_path: Path, tiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    out = tmp_path / "archive.zarr"
    ran = microtome("tile", cmu_slide, "--out", out, "--patch-size", 240, "--workers", 2, "--json")
    assert ran.code == 0
    assert ran.document["workers"] == 2
    own, shared = _tree(out), _tree(tiled)
    patches = [key for key in shared if not key.endswith(("zarr.json", ".parquet"))]
    assert {key: own[key] for key in patches} == {key: shared[key] for key in patches}


def test_a_scheduler_that_does_not_answer_is_wrong_usage(
    microtome: Run, cmu_slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.cluster.CONNECT_S", 0.2)
    place = "tcp://127.0.0.1:1"
    ran = microtome("tile", cmu_slide, "--out", tmp_path / "a.zarr", "--scheduler", place)
    assert ran.code == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in ran.err


def test_a_folder_that_is_no_archive_is_left_alone(
    microtome: Run, cmu_slide: Path, tmp_path: Path, scheduler: str
) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    ran = microtome("tile", cmu_slide, "--out", tmp_path, "--scheduler", scheduler)
    assert ran.code == 2
    assert "is no archive" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_slide_mpp_is_for_slides_that_do_not_say(cmu_slide: Path, slides_folder: Path) -> None:
    silent = slides_folder / "TCGA-CR-7395-01A-01-TS1.svs"
    config = CutConfig(slides=(str(cmu_slide), str(silent)), slide_mpp=0.25)
    assert [source.mpp for source in find_sources(config)] == [None, 0.25]


def test_a_manifest_gives_ids_labels_and_resolution(
    microtome: Run, cmu_slide: Path, tmp_path: Path, scheduler: str
) -> None:
    manifest = tmp_path / "slides.csv"
    manifest.write_text(
        f"slide_id,path,patient,site,label,mpp\nS1,{cmu_slide},Doe-Jane,Lyon,tumour,0.25\n"
    )
    out = tmp_path / "a.zarr"
    words = ["--out", out, "--scheduler", scheduler, "--quiet", "--json"]
    assert microtome("tile", "--manifest", manifest, *words).code == 0
    known = Archive.open(str(out))["S1"].attributes
    assert (known["patient"], known["site"], known["labels"]["label"]) == (
        "Doe-Jane",
        "Lyon",
        "tumour",
    )
    assert known["mpp"] == {"x": 0.25, "y": 0.25, "origin": "override"}
    assert "Doe-Jane" not in (tmp_path / "a.zarr.report.html").read_text()


def test_main_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["microtome", "ls", "nowhere.zarr"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit, match="2"):
        cli.main()
