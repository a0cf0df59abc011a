"""`microtome import volumes` as a person runs it."""

from pathlib import Path

import pytest

from tests.tiling.importing.pictures import write_csv
from tests.tiling.importing.test_volumes import numbers, write
from tests.workflows.conftest import Microtome


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two volumes of two clients; the second has no file."""
    write(tmp_path / "in" / "v.nii.gz", numbers("float32"))
    rows = [
        {"client": i, "volume": name, "image": f"{name}.nii.gz", "label": ""}
        for i, name in enumerate("vw")
    ]
    return write_csv(tmp_path / "in" / "clients.csv", rows)


def test_volumes_come_in_and_are_listed(microtome: Microtome, table: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.zarr"
    ran = microtome("import", "volumes", table, "--out", archive, "--partitions", 3)
    assert ran.code == 3
    assert "slides   1 done, 1 failed" in ran.out
    assert "clients.csv line 3: w.nii.gz: no such file" in ran.out
    assert "1 slide, 9 patches" in microtome("ls", archive).out
    assert microtome("verify", archive, "--source", "--workers", 1).code == 0
    page = (tmp_path / "a.zarr.report.html").read_text()
    assert "9 imported, 6 × 5 px" in page  # noqa: RUF001 - the multiplication sign


def test_an_axis_that_is_none_is_refused(microtome: Microtome, table: Path, tmp_path: Path) -> None:
    ran = microtome("import", "volumes", table, "--out", tmp_path / "a.zarr", "--axis", 3)
    assert ran.code == 2
    assert "--axis" in ran.err
