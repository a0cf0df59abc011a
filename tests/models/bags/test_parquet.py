"""Parquet files and Arrow streams, through pyarrow, Polars and DuckDB, and read back by us."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import zarr

from models.bags import parquet
from models.bags.arrow import write_stream
from models.bags.bag import Bag
from models.bags.sink import Sink
from models.errors import BagError
from tests.models.bags.exporting import assert_round_trip, contents, export, export_folder
from tests.models.bags.planted import DIM, ENCODER, HALF_ENCODER, SLIDES, bag_of, card, set_status
from tiling.store import Archive

Open = Callable[..., Bag]
Rows = np.ndarray[Any, Any]

KINDS = {"float32": (ENCODER, pa.float32()), "float16": (HALF_ENCODER, pa.float16())}
TEXT = pa.dictionary(pa.int32(), pa.string())


def by_pyarrow(path: Path) -> tuple[dict[str, list[Any]], Rows]:
    table = pq.read_table(path, partitioning=None)
    lists = table["embedding"].combine_chunks()
    rows = lists.flatten().to_numpy().reshape(-1, lists.type.list_size)
    return table.drop(["embedding"]).to_pydict(), rows


def by_polars(path: Path) -> tuple[dict[str, list[Any]], Rows]:
    frame = pl.read_parquet(path, hive_partitioning=False)
    return frame.drop("embedding").to_dict(as_series=False), frame["embedding"].to_numpy()


def by_duckdb(path: Path) -> tuple[dict[str, list[Any]], Rows]:
    table = duckdb.sql(f"select * from read_parquet('{path}')").to_arrow_table()
    rows = np.array(table["embedding"].to_pylist()).reshape(len(table), -1)
    return table.drop(["embedding"]).to_pydict(), rows


READERS = {"pyarrow": by_pyarrow, "polars": by_polars, "duckdb": by_duckdb}


def scan_pyarrow(root: Path, slide_id: str) -> list[int]:
    return pq.read_table(root, filters=[("slide_id", "==", slide_id)])["x"].to_pylist()


def scan_polars(root: Path, slide_id: str) -> list[int]:
    every = pl.scan_parquet(root / "**" / "*.parquet", hive_partitioning=True)
    return every.filter(pl.col("slide_id") == slide_id).collect()["x"].to_list()


def scan_duckdb(root: Path, slide_id: str) -> list[int]:
    every = f"read_parquet('{root}/**/*.parquet', hive_partitioning=true)"
    found = duckdb.sql(f"select x from {every} where slide_id = '{slide_id}'").fetchall()
    return [x for (x,) in found]


SCANNERS = {"pyarrow": scan_pyarrow, "polars": scan_polars, "duckdb": scan_duckdb}


@pytest.fixture(scope="module", params=KINDS)
def exported(
    request: pytest.FixtureRequest, planted: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The whole planted archive in float32 and in float16."""
    out = tmp_path_factory.mktemp(f"parquet-{request.param}")
    encoder, _ = KINDS[request.param]
    export(planted, "parquet", out / "out", encoder=encoder, dtype=request.param)
    return request.param, out / "out"


def file_of(root: Path, slide_id: str) -> Path:
    return root / "patches" / f"slide_id={slide_id}" / "part-0.parquet"


def test_schema_is_exactly_as_documented(exported: tuple[str, Path]) -> None:
    dtype, root = exported
    for slide_id in SLIDES:
        found = pq.read_schema(file_of(root, slide_id))
        assert {field.name: field.type for field in found} == {
            "slide_id": TEXT,
            "patient": TEXT,
            "site": TEXT,
            "row": pa.int32(),
            "col": pa.int32(),
            "x": pa.int32(),
            "y": pa.int32(),
            "tissue_fraction": pa.float32(),
            "status": pa.uint8(),
            "embedding": pa.list_(KINDS[dtype][1], DIM),
        }


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("slide_id", SLIDES)
def test_every_reader_gives_what_was_planted(
    exported: tuple[str, Path], bag: Open, slide_id: str, reader: str
) -> None:
    dtype, root = exported
    if (reader, slide_id) == ("duckdb", "empty"):
        assert duckdb.sql(f"select * from '{file_of(root, slide_id)}'").fetchall() == []
        return
    known = bag(slide_id, KINDS[dtype][0])
    columns, rows = READERS[reader](file_of(root, slide_id))
    assert np.array_equal(rows.reshape(-1, DIM), known.read(dtype=dtype))
    assert columns == {
        "slide_id": [slide_id] * len(known),
        "patient": [SLIDES[slide_id].patient or slide_id] * len(known),
        "site": ["here"] * len(known),
        "row": known.row_col[:, 0].tolist(),
        "col": known.row_col[:, 1].tolist(),
        "x": known.coords[:, 0].tolist(),
        "y": known.coords[:, 1].tolist(),
        "tissue_fraction": known.tissue_fraction.tolist(),
        "status": known.status.tolist(),
    }


@pytest.mark.parametrize("dtype", ["Float16", "Float32"])
def test_half_floats_stay_halves_in_polars_and_become_floats_in_duckdb(
    planted: Path, tmp_path: Path, dtype: str
) -> None:
    encoder, _ = KINDS[dtype.lower()]
    export(planted, "parquet", tmp_path / "out", encoder=encoder, dtype=dtype.lower())
    path = file_of(tmp_path / "out", "odd")
    assert pl.read_parquet_schema(path)["embedding"] == pl.Array(getattr(pl, dtype)(), DIM)
    described = duckdb.sql(f"describe select embedding from '{path}'").fetchall()
    assert described[0][:2] == ("embedding", "FLOAT[]")


def test_metadata_says_what_made_the_rows(exported: tuple[str, Path], bag: Open) -> None:
    dtype, root = exported
    encoder, _ = KINDS[dtype]
    said = json.loads(pq.read_schema(file_of(root, "odd")).metadata[b"microtome"])
    assert said["card"] == bag("odd", encoder).card.document()
    assert (said["P"], said["S"], said["mpp_0"]) == (64, 32, [0.2325, 0.2325])
    assert said["mpp_eff"] == pytest.approx([0.5, 0.5])
    assert said["P0"] == pytest.approx([64 * 0.5 / 0.2325] * 2)
    assert "openslide-bin" in said["versions"]["archive"]


def test_files_are_compressed_in_row_groups(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parquet.ROW_GROUP == 8192
    monkeypatch.setattr(parquet, "ROW_GROUP", 8)
    export(planted, "parquet", tmp_path / "out")
    said = pq.ParquetFile(file_of(tmp_path / "out", "quarter")).metadata
    assert [said.row_group(i).num_rows for i in range(said.num_row_groups)] == [8, 8, 4]
    columns = [said.row_group(0).column(i) for i in range(said.num_columns)]
    assert {column.compression for column in columns} == {"ZSTD"}
    (foreign,) = [one for one in parquet.read(tmp_path / "out") if one.name == "quarter"]
    rows = bag_of(planted, "quarter").read()
    assert np.array_equal(foreign.take(np.array([1, 7, 8, 19])), rows[[1, 7, 8, 19]])


def spoil_rows(path: Path) -> None:
    """Leave nothing of a file but its footer."""
    data = path.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    path.write_bytes(data[:4] + bytes(len(data) - footer - 4) + data[-footer:])


@pytest.mark.parametrize("scanner", SCANNERS)
def test_a_scan_for_one_slide_reads_no_other_file(
    planted: Path, tmp_path: Path, bag: Open, scanner: str
) -> None:
    export(planted, "parquet", tmp_path / "out")
    for slide_id in set(SLIDES) - {"half.he", "bounds"}:
        file_of(tmp_path / "out", slide_id).write_bytes(b"no Parquet file")
    spoil_rows(file_of(tmp_path / "out", "bounds"))  # the first, whose footer gives the columns
    found = SCANNERS[scanner](tmp_path / "out" / "patches", "half.he")
    assert found == bag("half.he").coords[:, 0].tolist()


def test_the_whole_cohort_opens_although_a_summary_lies_beside_it(
    exported: tuple[str, Path], bag: Open
) -> None:
    root = exported[1]
    total = sum(len(bag(slide_id)) for slide_id in SLIDES)
    assert (root / "microtome.json").is_file()
    assert pq.read_table(root / "patches").num_rows == total
    assert pl.read_parquet(root / "patches").height == total
    assert duckdb.sql(f"select * from '{root}/patches/**/*.parquet'").shape[0] == total
    typed = ds.partitioning(pa.schema([("slide_id", TEXT)]), flavor="hive", dictionaries="infer")
    assert ds.dataset(root / "patches", partitioning=typed).count_rows() == total


def test_ids_that_are_numbers_stay_text(planted: Path, tmp_path: Path) -> None:
    archive = tmp_path / "numbers.zarr"
    shutil.copytree(planted, archive, ignore=lambda _, names: set(names) & set(SLIDES))
    for number, slide_id in (("0012", "quarter"), ("0034", "odd")):
        shutil.copytree(planted / slide_id, archive / number)
    folder = export_folder(archive, "parquet", tmp_path / "out", slide_ids=["0012", "0034"])
    folder.finish(card(DIM), {})
    assert any("every ID is a number" in line for line in folder.read_summary()["warnings"])
    root = tmp_path / "out" / "patches"
    table = pq.read_table(root, partitioning=None, filters=[("slide_id", "==", "0012")])
    assert set(table["slide_id"].to_pylist()) == {"0012"}
    assert len(scan_polars(root, "0012")) == len(scan_duckdb(root, "0012")) == len(table)
    with pytest.raises(pa.ArrowTypeError, match="slide_id has incompatible types"):
        pq.read_table(root)  # the trap that the warning is about


def add_labels(archive: Path, slide_id: str, values: Rows, names: list[str], kind: str) -> None:
    described = {"microtome": {"names": names, "kind": kind}}
    group = zarr.open_group(archive / slide_id, mode="r+")
    group.create_array("labels", data=values, chunks=values.shape, attributes=described)


def test_labels_are_one_column_per_class_and_unknown_is_null(
    own_archive: Path, tmp_path: Path
) -> None:
    several = np.array([[1, 0], [-1, 1], *[[0, 0]] * 18], np.int8)
    add_labels(own_archive, "quarter", several, ["tum our", "x"], "multilabel")
    one = np.array([2, 0, -1, *[1] * 69], np.int32)
    add_labels(own_archive, "odd", one, ["a", "b", "c"], "classes")
    summary = export(own_archive, "parquet", tmp_path / "out")
    assert any("differ in their label columns" in line for line in summary["warnings"])
    table = pq.read_table(file_of(tmp_path / "out", "quarter"), partitioning=None)
    assert table.schema.field("label_tum our").type == pa.int8()
    assert table["label_tum our"].to_pylist()[:3] == [1, None, 0]
    assert table["label_x"].to_pylist()[:3] == [0, 1, 0]
    table = pq.read_table(file_of(tmp_path / "out", "odd"), partitioning=None)
    assert [table[f"label_{name}"].to_pylist()[:4] for name in "abc"] == [
        [0, 1, None, 0],
        [0, 0, None, 1],
        [1, 0, None, 0],
    ]


@pytest.mark.parametrize("slide_id", ["odd", "empty", "single"])
@pytest.mark.parametrize("dtype", KINDS)
def test_a_stream_has_the_same_rows_and_schema(
    exported: tuple[str, Path], bag: Open, slide_id: str, dtype: str
) -> None:
    target = io.BytesIO()
    write_stream(bag(slide_id, KINDS[dtype][0]), target)
    table = pa.ipc.open_stream(target.getvalue()).read_all()
    if dtype == exported[0]:
        stored = pq.read_table(file_of(exported[1], slide_id), partitioning=None)
        assert table.schema.equals(stored.schema, check_metadata=True)
        assert table.equals(stored)
    frame = pl.read_ipc_stream(io.BytesIO(target.getvalue()))
    assert frame["x"].to_list() == table["x"].to_pylist()
    assert frame["embedding"].to_list() == table["embedding"].to_pylist()


def test_a_site_that_nobody_knows_is_null(own_archive: Path, tmp_path: Path) -> None:
    known = bag_of(own_archive, "quarter")
    known.attributes.update(site="")
    target = io.BytesIO()
    write_stream(known, target)
    assert pa.ipc.open_stream(target.getvalue()).read_all()["site"].null_count == 20
    parquet.write(known, Sink(tmp_path / "out"), np.dtype(np.float32))
    assert READERS["polars"](file_of(tmp_path / "out", "quarter"))[0]["site"] == [None] * 20


def test_our_reader_gives_back_what_was_planted(exported: tuple[str, Path], bag: Open) -> None:
    dtype, root = exported
    found = {one.name: one for one in parquet.read(root)}
    assert sorted(found) == sorted(SLIDES)
    for name, foreign in found.items():
        known = bag(name, KINDS[dtype][0])
        every = np.arange(len(known))
        assert (foreign.frame, foreign.dim, foreign.dtype.name) == ("corner", DIM, dtype)
        assert np.array_equal(foreign.positions, known.coords)
        assert np.array_equal(foreign.take(every), known.read(dtype=dtype))
        assert np.array_equal(foreign.take(every[1::3]), known.read(dtype=dtype)[1::3])


def test_an_export_comes_back_into_the_archive(own_archive: Path, tmp_path: Path) -> None:
    assert_round_trip(own_archive, "parquet", tmp_path / "out")


def test_unreadable_patches_are_left_out_and_can_be_kept(own_archive: Path, tmp_path: Path) -> None:
    set_status(Archive.open(str(own_archive))["quarter"], 3, 2)
    export(own_archive, "parquet", tmp_path / "out", slide_ids=["quarter"])
    columns, rows = by_pyarrow(file_of(tmp_path / "out", "quarter"))
    assert np.array_equal(rows, bag_of(own_archive, "quarter").read())
    assert (len(rows), set(columns["status"])) == (19, {0})
    export(own_archive, "parquet", tmp_path / "all", slide_ids=["quarter"], keep_unreadable=True)
    columns, rows = by_pyarrow(file_of(tmp_path / "all", "quarter"))
    assert (len(rows), columns["status"][3]) == (20, 2)


def test_the_same_export_twice_is_the_same_bytes(planted: Path, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        export(planted, "parquet", tmp_path / folder)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="holds no Parquet files"):
        parquet.read(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"nothing")
    with pytest.raises(BagError, match=r"a\.parquet cannot be read"):
        list(parquet.read(tmp_path))
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    with pytest.raises(BagError, match="no column `embedding`"):
        list(parquet.read(tmp_path))
