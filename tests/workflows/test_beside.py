import csv
import io
from pathlib import Path

import pytest

from workflows.beside import Beside, failures_csv, split_location, write_file
from workflows.errors import UsageError


def test_files_lie_beside_the_archive(tmp_path: Path) -> None:
    beside = Beside(f"{tmp_path}/a.zarr/")
    assert beside.write_json("run.json", {"one": 1}) == f"{tmp_path}/a.zarr.run.json"
    assert beside.read_json("run.json") == {"one": 1}
    beside.remove("run.json")
    beside.remove("run.json")
    assert beside.read_json("run.json") is None
    assert not list(tmp_path.iterdir())


def test_files_lie_beside_an_archive_in_a_bucket() -> None:
    beside = Beside("memory://bucket/folder/a.zarr")
    assert beside.write("x.csv", b"data") == "memory://bucket/folder/a.zarr.x.csv"
    assert beside.read("x.csv") == b"data"
    beside.remove("x.csv")
    assert beside.read("x.csv") is None


def test_a_relative_archive_lies_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert split_location("a.zarr") == (str(tmp_path), "a.zarr")
    write_file("page.html", b"x")
    assert (tmp_path / "page.html").read_bytes() == b"x"


@pytest.mark.parametrize("location", ["/", "s3://bucket", "s3://bucket/", "s3://"])
def test_nothing_lies_beside_a_root(location: str) -> None:
    with pytest.raises(UsageError, match="root of a disk or bucket"):
        Beside(location)


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_failures_are_harmless_in_a_spreadsheet(cell: str) -> None:
    row = {"slide_id": cell, "path": 'a, "b"', "cause": "C", "error": "two\nlines"}
    (_, first) = csv.reader(io.StringIO(failures_csv([row]).decode(), newline=""))
    assert first == [f"'{cell}", 'a, "b"', "C", "two\nlines"]
