"""`slides.parquet` against the groups that it is derived from."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.tiling.archives import cut
from tiling.index import read_index, rebuild_index, slide_row
from tiling.store import INDEX, Archive


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, svs: Path) -> Archive:
    path = tmp_path_factory.mktemp("index") / "a.zarr"
    cut(path, svs, "one")
    cut(path, svs, "two", encoding="lossless", mpp=0.5)
    cut(path, svs, "none", min_tissue=1.1)
    return Archive.open(str(path))


def without_types(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str(row["slide_id"]))


def test_rows_are_those_of_the_groups(copy: Archive) -> None:
    rows = read_index(copy)
    assert [row["slide_id"] for row in rows] == ["none", "one", "two"]
    assert rows == [slide_row(store) for store in copy.stores()]
    one = rows[1]
    assert (one["n_patches"], one["encoding"], one["mpp_x"]) == (56, "passthrough", 0.25)
    assert (rows[2]["mpp_effective_x"], rows[0]["n_patches"]) == (0.5, 0)


def test_bytes_are_those_on_disk(copy: Archive) -> None:
    for row in read_index(copy):
        folder = Path(copy.location, row["slide_id"])
        on_disk = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        assert row["bytes"] == on_disk - (folder / "zarr.json").stat().st_size


def test_any_reader_of_parquet_opens_it(copy: Archive) -> None:
    table = pq.read_table(Path(copy.location, INDEX))
    assert table.num_rows == 3
    assert table.to_pylist() == read_index(copy)


def test_a_missing_index_is_rebuilt(copy: Archive) -> None:
    path = Path(copy.location, INDEX)
    before, rows = path.read_bytes(), read_index(copy)
    path.unlink()
    assert without_types(read_index(copy)) == without_types(rows)
    assert path.read_bytes() == before


def test_an_archive_without_slides_has_an_empty_index(tmp_path: Path) -> None:
    made = Archive.create(str(tmp_path / "a.zarr"))
    assert rebuild_index(made) == read_index(made) == []
    assert "slide_id" in pq.read_schema(tmp_path / "a.zarr" / INDEX).names
