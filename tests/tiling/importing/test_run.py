"""A run of imports: what is there is skipped, what differs is refused, order changes nothing."""

from pathlib import Path

import fsspec
import numpy as np
import pytest

from tests.tiling.faults.harness import EPOCH, assert_same
from tests.tiling.importing.conftest import Import
from tests.tiling.importing.pictures import picture, save, write_csv
from tiling.errors import ConflictError
from tiling.index import read_index
from tiling.lease import Leases
from tiling.reader import PatchReader
from tiling.store import Archive
from tiling.verify import verify_store


@pytest.fixture(autouse=True)
def epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve patches of four patients: JPEG, PNG, and both, with labels."""
    rows = []
    for i in range(12):
        ending = ("jpg", "png", "jpg", "png")[i % 4] if i % 3 else "jpg"
        save(tmp_path / "in" / f"{i:02}.{ending}", picture(i))
        rows.append({"file": f"{i:02}.{ending}", "patient": f"p{i % 4}", "label": "ab"[i % 2]})
    return write_csv(tmp_path / "in" / "set.csv", rows)


def states(summary: object) -> list[str]:
    return [outcome.state for outcome in summary.outcomes]  # type: ignore[attr-defined]


def test_the_same_again_is_skipped(tmp_path: Path, table: Path, import_patches: Import) -> None:
    assert states(import_patches(table)) == ["done"] * 4
    assert states(import_patches(table)) == ["skipped"] * 4
    rows = read_index(Archive.open(str(tmp_path / "a.zarr")))
    assert [row["slide_id"] for row in rows] == ["p0", "p1", "p2", "p3"]
    assert not (tmp_path / "a.zarr" / ".microtome").exists()


def test_workers_and_the_order_of_lines_change_no_byte(
    tmp_path: Path, table: Path, import_patches: Import
) -> None:
    import_patches(table, archive=tmp_path / "one.zarr", workers=1)
    head, *lines = table.read_text().splitlines()
    table.write_text("\n".join([head, *reversed(lines)]) + "\n")
    import_patches(table, archive=tmp_path / "many.zarr", workers=5)
    assert_same(tmp_path / "many.zarr", tmp_path / "one.zarr")


def relabel(table: Path) -> None:
    table.write_text(table.read_text().replace("p1,b", "p1,a"))


def repaint(table: Path) -> None:
    file = next(table.parent.glob("01.*"))
    save(file, picture(99))


@pytest.mark.parametrize("change", [relabel, repaint])
def test_other_versions_are_refused_and_replaced_on_request(
    tmp_path: Path, table: Path, import_patches: Import, change: object
) -> None:
    import_patches(table)
    before = (tmp_path / "a.zarr" / "p1" / "zarr.json").read_bytes()
    change(table)  # type: ignore[operator]
    with pytest.raises(ConflictError, match=r"p1 was imported .*\. Use another --out, or"):
        import_patches(table)
    assert (tmp_path / "a.zarr" / "p1" / "zarr.json").read_bytes() == before
    assert states(import_patches(table, overwrite=True)) == ["skipped", "done"] + ["skipped"] * 2
    import_patches(table, archive=tmp_path / "fresh.zarr")
    assert_same(tmp_path / "a.zarr", tmp_path / "fresh.zarr")


def test_a_failed_slide_is_tried_again(tmp_path: Path, table: Path, import_patches: Import) -> None:
    file = next(table.parent.glob("01.*"))
    file.rename(file.with_suffix(".away"))
    assert states(import_patches(table)) == ["done", "failed", "done", "done"]
    assert not (tmp_path / "a.zarr" / "p1").exists()
    assert not (tmp_path / "a.zarr" / ".microtome").exists()
    file.with_suffix(".away").rename(file)
    assert states(import_patches(table)) == ["skipped", "done", "skipped", "skipped"]


def test_a_slide_that_another_run_holds_is_waited_for(
    tmp_path: Path, table: Path, import_patches: Import
) -> None:
    archive = Archive.create(str(tmp_path / "a.zarr"))
    with Leases(archive.storage) as others:
        assert others.acquire("p2")
        from threading import Timer

        Timer(1.0, others.release, ["p2"]).start()
        assert states(import_patches(table)) == ["done"] * 4


def test_buckets_take_imports_too(table: Path, import_patches: Import) -> None:
    location = "memory://imported.zarr"
    try:
        assert states(import_patches(table, archive=location)) == ["done"] * 4
        store = Archive.open(location)["p0"]
        assert verify_store(store) == []
        assert len(PatchReader(store).read(range(3))) == 3
    finally:
        fsspec.filesystem("memory").rm("/imported.zarr", recursive=True)


def test_shards_bound_what_is_held(
    tmp_path: Path, table: Path, import_patches: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.write_text("file\n" + "".join(f"{i:02}.png\n" for i in range(12)))
    for i in range(12):
        save(table.parent / f"{i:02}.png", picture(i))
    sizes = [file.stat().st_size for file in table.parent.glob("*.png")]
    monkeypatch.setattr("tiling.importing.patches.SHARD_BYTES", 3 * max(sizes))
    import_patches(table, by="one", archive=tmp_path / "b.zarr")
    store = Archive.open(str(tmp_path / "b.zarr"))["set"]
    assert (tmp_path / "b.zarr/set/patches/c/1/0/0/0").exists()
    assert verify_store(store) == []
    import_patches(table, by="one", archive=tmp_path / "c.zarr", workers=3)
    whole = PatchReader(Archive.open(str(tmp_path / "c.zarr"))["set"])
    np.testing.assert_array_equal(PatchReader(store).read(range(12)), whole.read(range(12)))
