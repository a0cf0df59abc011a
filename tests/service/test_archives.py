import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from service import listing
from service.archives import Archives
from service.errors import InvalidError, NotFoundError
from tests.service.planted import ARCHIVE, SLIDE_ID, plant_map
from tests.tiling.archives import cut
from tests.tiling.faults.harness import environment
from tests.tiling.faults.test_s3 import SERVER
from tiling.errors import CorruptStoreError, StoreError
from tiling.index import rebuild_index
from tiling.store import Archive


def names(archives: Archives, slide_id: str) -> list[str]:
    return [held.archive for held in archives.holding(slide_id)]


def test_archives_of_the_folder_and_of_the_settings_are_found(work: Path, tmp_path: Path) -> None:
    for place in (work / "archives" / "b.zarr", tmp_path / "else" / "c.zarr", work / ".d.zarr"):
        Archive.create(str(place))
    (work / "no.zarr").mkdir()
    archives = Archives(work, (str(tmp_path / "else" / "c.zarr"),))
    assert sorted(archives.locations()) == ["b.zarr", "c.zarr", ARCHIVE]
    assert archives.slide_ids()[ARCHIVE] == {SLIDE_ID}
    assert archives.slide_ids()["b.zarr"] == frozenset()


def test_two_archives_of_one_name_are_refused(work: Path) -> None:
    with pytest.raises(InvalidError, match=r"two archives have the name 'a\.zarr'"):
        Archives(work, ("/x/a.zarr", "s3://y/a.zarr"))


def test_an_archive_that_is_not_there_is_told(work: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no archive 'x\.zarr'"):
        Archives(work).open("x.zarr")
    with pytest.raises(NotFoundError, match=r"no archive 'x\.zarr'"):
        list(Archives(work).holding(SLIDE_ID, "x.zarr"))


@pytest.mark.parametrize("name", ["..", ".", "../demo.zarr", "/etc", "", "a\0b", "zarr.json"])
def test_no_name_leads_out_of_an_archive(work: Path, name: str) -> None:
    assert names(Archives(work), name) == []


def test_slides_are_seen_as_soon_as_they_come_and_go(work: Path, cmu_slide: Path) -> None:
    archives = Archives(work)
    assert archives.slide_ids()[ARCHIVE] == {SLIDE_ID}
    cut(work / ARCHIVE, cmu_slide, "new", mpp=2.0)
    assert archives.slide_ids()[ARCHIVE] == {SLIDE_ID, "new"}
    assert names(archives, "new") == [ARCHIVE]
    Archive.open(str(work / ARCHIVE)).storage.delete("new")
    assert archives.slide_ids()[ARCHIVE] == {SLIDE_ID}
    assert names(archives, "new") == []


def test_a_slide_that_is_cut_anew_is_read_anew(work: Path, cmu_slide: Path) -> None:
    archives = Archives(work)
    before = next(archives.holding(SLIDE_ID)).store
    cut(work / ARCHIVE, cmu_slide, SLIDE_ID, mpp=2.0, overwrite=True)
    after = next(archives.holding(SLIDE_ID)).store
    assert len(before) != len(after) == len(Archive.open(str(work / ARCHIVE))[SLIDE_ID])


def test_maps_are_seen_as_soon_as_they_are_there(work: Path) -> None:
    archives = Archives(work)
    held = next(archives.holding(SLIDE_ID))
    plant_map(held.store, "another")
    assert "another" in next(archives.holding(SLIDE_ID)).contents.maps


def test_a_damaged_slide_is_told_of_without_its_place(work: Path) -> None:
    (work / ARCHIVE / SLIDE_ID / "zarr.json").write_text("{")
    with pytest.raises(CorruptStoreError, match="is damaged in the archive") as told:
        list(Archives(work).holding(SLIDE_ID))
    assert str(work) not in str(told.value)


def test_an_archive_that_did_not_change_is_listed_without_looking_at_slides(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SETTLED_S", 0.0)
    archives = Archives(work)
    archives.slide_ids()

    def fail(self: Any) -> list[str]:
        raise AssertionError("looked at every slide")

    monkeypatch.setattr(Archive, "slide_ids", fail)
    assert archives.slide_ids()[ARCHIVE] == {SLIDE_ID}


@pytest.fixture
def bucket(work: Path) -> Iterator["subprocess.Popen[str]"]:
    """The planted archive in a bucket of an S3 server, which may be killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    with pytest.MonkeyPatch.context() as patch, process:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{process.stdout.readline().strip()}")
        patch.setenv("AWS_ACCESS_KEY_ID", "any")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        fs = fsspec.filesystem("s3")
        fs.mkdir("bucket")
        fs.put(str(work / ARCHIVE), "bucket/far.zarr", recursive=True)
        yield process
        process.kill()
        fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_a_bucket_is_asked_once_in_a_while(work: Path, bucket: "subprocess.Popen[str]") -> None:
    archives = Archives(work, ("s3://bucket/far.zarr",))
    assert archives.slide_ids()["far.zarr"] == {SLIDE_ID}
    held = next(archives.holding(SLIDE_ID, "far.zarr"))
    assert held.contents.maps == ("attention-demo", "tissue")
    bucket.kill()
    bucket.wait()
    assert archives.slide_ids()["far.zarr"] == {SLIDE_ID}
    again = next(archives.holding(SLIDE_ID, "far.zarr"))
    assert again.store.attributes == held.store.attributes
    assert again.contents == held.contents
    assert names(archives, "nope") == []


def test_a_bucket_whose_index_is_missing_is_listed(
    work: Path, bucket: "subprocess.Popen[str]"
) -> None:
    fsspec.filesystem("s3").rm("bucket/far.zarr/slides.parquet")
    assert Archives(work, ("s3://bucket/far.zarr",)).slide_ids()["far.zarr"] == {SLIDE_ID}
    rows = rebuild_index(Archive.open("s3://bucket/far.zarr"))
    assert [row["slide_id"] for row in rows] == [SLIDE_ID]


@pytest.mark.parametrize("damage", ["[1, 2]", "null", '{"attributes": []}', "[" * 100_000, "{"])
def test_an_archive_whose_document_is_damaged_hides_no_other(work: Path, damage: str) -> None:
    bad = Archive.create(str(work / "bad.zarr"))
    Path(bad.storage.root, "zarr.json").write_text(damage)
    with pytest.raises(StoreError):
        Archive.open(str(work / "bad.zarr"))
    assert names(Archives(work), SLIDE_ID) == [ARCHIVE]


@pytest.mark.parametrize("damage", ["[1, 2]", "null", "{}", "[" * 100_000, "{"])
def test_a_damaged_copy_of_a_slide_hides_no_other(work: Path, damage: str) -> None:
    shutil.copytree(work / ARCHIVE, work / "copy.zarr")
    (work / "copy.zarr" / SLIDE_ID / "zarr.json").write_text(damage)
    archives = Archives(work)
    found = archives.look(SLIDE_ID)
    assert [held.archive for held in found.held] == [ARCHIVE]
    assert list(found.unread) == ["copy.zarr"]
    assert names(archives, SLIDE_ID) == [ARCHIVE]
    (work / ARCHIVE / SLIDE_ID / "zarr.json").write_text(damage)
    with pytest.raises(CorruptStoreError, match="is damaged in the archive"):
        names(Archives(work), SLIDE_ID)
