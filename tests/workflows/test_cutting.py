"""What is refused before any work, and what is said about a manifest."""

from pathlib import Path

import pytest

from tests.workflows.conftest import Microtome


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        pytest.param(["--mpp", "inf"], "--mpp", id="endless mpp"),
        pytest.param(["--slide-mpp", "inf"], "--slide-mpp", id="endless slide mpp"),
        pytest.param(["--encoding", "jpeg:0"], "Q from 1 to 100", id="no such quality"),
        pytest.param(
            ["--tissue", "mask", "--tissue-path", "gone.png"], "there is no gone.png", id="no mask"
        ),
    ],
)
def test_impossible_requests_are_refused(
    microtome: Microtome, cmu_slide: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    ran = microtome("tile", cmu_slide, "--out", tmp_path / "a.zarr", *words)
    assert ran.code == 2
    assert sentence in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_place_for_an_archive(
    microtome: Microtome, cmu_slide: Path, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("kept")
    ran = microtome("tile", cmu_slide, "--out", tmp_path / "note.txt")
    assert ran.code == 2
    assert "is a file, and no archive" in ran.err
    assert (tmp_path / "note.txt").read_text() == "kept"
    assert microtome("ls", tmp_path / "note.txt").code == 2


def test_changed_ids_and_unused_columns_are_told(
    microtome: Microtome, cmu_slide: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = tmp_path / "slides.csv"
    manifest.write_text(f"slide_id,path,lable\n../odd name,{cmu_slide},x\n")
    assert microtome("plan", "--manifest", manifest, "--workers", 1).code == 0
    assert "'../odd name' is stored as" in caplog.text
    assert "not used: lable" in caplog.text
