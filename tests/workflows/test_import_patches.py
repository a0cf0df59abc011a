"""`microtome import patches` as a person runs it."""

import csv
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.tiling.importing.pictures import picture, save, write_csv
from tests.workflows.conftest import Microtome
from tiling.reader import PatchReader
from tiling.store import Archive


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Six JPEG of two patients, one of another with a file that is missing."""
    rows = []
    for i in range(7):
        if i < 6:
            save(tmp_path / "in" / f"{i}.jpg", picture(i))
        rows.append({"file": f"{i}.jpg", "patient": f"p{i // 3}", "label": "ab"[i % 2]})
    return write_csv(tmp_path / "in" / "set.csv", rows)


def test_an_import_tells_what_failed(microtome: Microtome, table: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.zarr"
    ran = microtome("import", "patches", table, "--out", archive, "--workers", 2)
    assert ran.code == 3
    assert "slides   2 done, 1 failed" in ran.out
    assert "stored   2 slides: the files' own bytes" in ran.out
    assert "failed   p2: p2: 1 of 1 images cannot be read" in ran.out
    (failed,) = csv.DictReader((tmp_path / "a.zarr.failures.csv").read_text().splitlines())
    assert failed["slide_id"] == "p2"
    assert "set.csv line 8: 6.jpg" in failed["error"]
    page = (tmp_path / "a.zarr.report.html").read_text()
    assert "3 imported, 32 × 32 px" in page  # noqa: RUF001 - the multiplication sign
    assert "the files&#39; own bytes: 3 JPEG" in page


def test_it_is_listed_verified_and_compared(
    microtome: Microtome, table: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "a.zarr"
    microtome("import", "patches", table, "--out", archive, "--quiet")
    listed = microtome("ls", archive)
    assert listed.code == 0
    assert "2 slides, 6 patches" in listed.out
    rows = microtome("ls", archive, "--json").document["slides"]
    assert [(row["slide_id"], row["n_patches"], row["mpp_x"]) for row in rows] == [
        ("p0", 3, None),
        ("p1", 3, None),
    ]
    assert microtome("verify", archive, "--source", "--workers", 1).code == 0
    save(table.parent / "4.jpg", picture(44))
    ran = microtome("verify", archive, "--source", "--workers", 1, "--json")
    assert ran.code == 3
    (problem,) = ran.document["problems"]
    assert (problem["slide_id"], problem["sentence"]) == ("p1", "differs from 4.jpg")
    assert microtome("report", archive).code == 0


def test_the_same_again_is_skipped_and_another_is_refused(
    microtome: Microtome, table: Path, tmp_path: Path
) -> None:
    words = ["import", "patches", table, "--out", tmp_path / "a.zarr", "--skip-unreadable"]
    first = microtome(*words, "--json")
    assert first.document["slides"] == {"done": 2, "skipped": 0, "failed": 1}
    again = microtome(*words, "--json")
    assert again.document["slides"] == {"done": 0, "skipped": 2, "failed": 1}
    other = microtome(*words, "--labels", "none")
    assert other.code == 2
    assert "p0 was imported with other options, labels or files" in other.err
    replaced = microtome(*words, "--labels", "none", "--overwrite", "--json")
    assert replaced.document["slides"]["done"] == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--labels", "nowhere"], "--labels: labels must be one of auto, folder"),
        (["--labels", "column:q"], "has no column 'q'; there are: file, patient, label"),
        (["--slide-by", "q"], "--slide-by has no column 'q'"),
        (["--classes", "c,d"], "line 2: 0.jpg: the label 'a' is none of the classes c, d"),
        (["--patch-size", "1"], "--patch-size"),
    ],
)
def test_wrong_options_are_one_sentence(
    microtome: Microtome, table: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    ran = microtome("import", "patches", table, "--out", tmp_path / "a.zarr", *words)
    assert ran.code == 2
    assert sentence in ran.err
    assert not (tmp_path / "a.zarr").exists()


def test_an_empty_folder_is_one_sentence(microtome: Microtome, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    ran = microtome("import", "patches", tmp_path / "in", "--out", tmp_path / "a.zarr")
    assert ran.code == 2
    assert "no images found" in ran.err


def real(slides_folder: Path, name: str) -> Path:
    path = slides_folder.parent / name
    if not path.is_file():
        pytest.skip(f"{name} is not there")
    return path


def test_patients_of_ebhi_seg(microtome: Microtome, slides_folder: Path, tmp_path: Path) -> None:
    source = real(slides_folder, "ebhi-seg/labels.csv")
    rows = list(csv.DictReader(source.read_text().splitlines()))
    some = sorted({row["patient"] for row in rows})[:12]
    chosen = [row for row in rows if row["patient"] in some]
    for row in chosen:
        row["file"] = str(source.parent / row["file"])
        row["mask"] = row["mask"] and str(source.parent / row["mask"])
    table = write_csv(tmp_path / "some.csv", chosen)
    ran = microtome("import", "patches", table, "--out", tmp_path / "a.zarr", "--json")
    assert (ran.code, ran.document["slides"]["done"]) == (0, 12)
    for store in Archive.open(str(tmp_path / "a.zarr")).stores():
        mine = sorted(row["file"] for row in chosen if row["patient"] == store.slide_id)
        reader = PatchReader(store)
        assert [reader.encoded(i) for i in range(len(store))] == [
            Path(file).read_bytes() for file in mine
        ]
        array = zarr.open_array(f"{tmp_path}/a.zarr/{store.slide_id}/patches", mode="r")
        np.testing.assert_array_equal(array[:], reader.read(range(len(store))))


def test_labels_in_names_of_multilabel_tissue(
    microtome: Microtome, slides_folder: Path, tmp_path: Path
) -> None:
    folder = real(slides_folder, "multilabel-tissue/labels.csv").parent
    classes = "polyp,serrated_adenoma,low_grade_IN,adenocarcinoma"
    for name, source, labels in (
        ("names", folder, "name"),
        ("columns", folder / "labels.csv", f"column:{classes}"),
    ):
        ran = microtome(
            "import", "patches", source, "--out", tmp_path / name, "--labels", labels,
            "--classes", classes, "--quiet", "--pictures", 0,
        )  # fmt: skip
        assert ran.code == 0
    by_name, by_column = (
        zarr.open_array(f"{tmp_path}/{name}/train/labels", mode="r")
        for name in ("names", "columns")
    )
    assert by_name.attrs["microtome"] == by_column.attrs["microtome"]
    assert by_name.shape == (1200, 4)
    np.testing.assert_array_equal(by_name[:], by_column[:])
    assert zarr.open_group(f"{tmp_path}/names/val", mode="r")["masks"].shape == (150, 224, 224)


def test_a_column_that_nothing_reads_is_told(
    microtome: Microtome, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path / "0.jpg", picture(0))
    table = write_csv(tmp_path / "set.csv", [{"file": "0.jpg", "spilt": "train", "grade": "1"}])
    microtome("import", "patches", table, "--out", tmp_path / "a.zarr", "--labels", "column:grade")
    assert "the column 'spilt' is not used; did you mean split?" in caplog.text
    assert "grade" not in caplog.text


def test_white_patches_are_told(microtome: Microtome, table: Path, tmp_path: Path) -> None:
    (table.parent / "1.jpg").write_bytes(b"")
    ran = microtome("import", "patches", table, "--out", tmp_path / "a.zarr", "--skip-unreadable")
    assert ran.code == 3  # all images of p2 are missing
    assert "white    1 image could not be read; status 2 in the archive" in ran.out
