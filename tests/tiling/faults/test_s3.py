"""Slides and archives in a bucket: a real S3 server on loopback, real requests."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from zarr.storage import FsspecStore

from tests.tiling.faults.conftest import COPYING, Cut
from tests.tiling.faults.harness import Slides, environment, started
from tiling.errors import ConflictError, LeaseError
from tiling.index import read_index
from tiling.lease import Leases
from tiling.reader import PatchReader
from tiling.storage import SCRATCH, open_storage
from tiling.store import Archive
from tiling.verify import verify_store

REMOTE = replace(COPYING, reader="tiffslide")  # the reader of remote slides, locally too

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    """An S3 server in a process of its own, and the environment that leads to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", url)
            patch.setenv("AWS_ACCESS_KEY_ID", "any")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "any")
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            fsspec.get_filesystem_class("s3").clear_instance_cache()
            yield
            fsspec.get_filesystem_class("s3").clear_instance_cache()
    finally:
        process.communicate()  # closes its stdin, which ends it


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> str:
    """A bucket of this test's own."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-")
    fsspec.filesystem("s3").mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def remote_slides(bucket: str, slides: Slides) -> dict[str, str]:
    """The slides, put into the bucket."""
    urls = {name: f"{bucket}/slides/{name}.svs" for name in slides}
    for name, url in urls.items():
        fsspec.filesystem("s3").put_file(slides[name], url)
    return urls


def objects(location: str) -> dict[str, bytes]:
    """Every object below a location."""
    files, root = fsspec.url_to_fs(location)
    files.invalidate_cache()
    return {path.removeprefix(f"{root}/"): bytes(files.cat_file(path)) for path in files.find(root)}


def local_objects(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_an_archive_in_a_bucket_has_the_objects_of_a_local_one(
    bucket: str, slides: Slides, tmp_path: Path, cut: Cut
) -> None:
    cut(tmp_path / "a.zarr", slides, COPYING)
    summary = cut(f"{bucket}/a.zarr", slides, COPYING)
    assert {outcome.state for outcome in summary.outcomes} == {"done"}
    assert objects(f"{bucket}/a.zarr") == local_objects(tmp_path / "a.zarr")


def test_slides_in_a_bucket_give_the_patches_of_local_ones(
    bucket: str, slides: Slides, remote_slides: Slides, tmp_path: Path, cut: Cut
) -> None:
    cut(tmp_path / "a.zarr", slides, REMOTE)
    cut(f"{bucket}/a.zarr", remote_slides, REMOTE)
    found, wanted = objects(f"{bucket}/a.zarr"), local_objects(tmp_path / "a.zarr")
    assert sorted(found) == sorted(wanted)
    documents = {f"{name}/zarr.json" for name in slides}
    for key in wanted.keys() - documents - {"slides.parquet"}:
        assert found[key] == wanted[key], key
    for key in documents:
        there, here = (json.loads(data[key])["attributes"]["microtome"] for data in (found, wanted))
        source, local_source = there.pop("source"), here.pop("source")
        assert there.pop("checksum") != here.pop("checksum")  # it covers the source
        assert there == here
        assert source["uri"] == remote_slides[there["slide_id"]]
        assert source["quick_hash"] == local_source["quick_hash"]


def test_a_second_run_skips_and_another_file_is_a_conflict(
    bucket: str, slides: Slides, remote_slides: Slides, cut: Cut
) -> None:
    location = f"{bucket}/a.zarr"
    cut(location, remote_slides, COPYING)
    before = objects(location)
    states = [outcome.state for outcome in cut(location, remote_slides, COPYING).outcomes]
    assert states == ["skipped"] * len(slides)
    assert objects(location) == before
    fsspec.filesystem("s3").put_file(slides["copied"], remote_slides["bundled"])
    with pytest.raises(ConflictError, match="bundled was cut from another file"):
        cut(location, remote_slides, COPYING)
    assert objects(location) == before


def test_overwrite_leaves_nothing_of_the_old_version(
    bucket: str, slides: Slides, tmp_path: Path, cut: Cut
) -> None:
    location = f"{bucket}/a.zarr"
    cut(location, slides, replace(COPYING, encoding="raw"))  # more shards than the new version
    cut(location, slides, COPYING, overwrite=True)
    cut(tmp_path / "a.zarr", slides, COPYING)
    assert objects(location) == local_objects(tmp_path / "a.zarr")


def test_what_is_in_a_bucket_is_read_and_verified(bucket: str, slides: Slides, cut: Cut) -> None:
    cut(f"{bucket}/a.zarr", slides, COPYING)
    archive = Archive.open(f"{bucket}/a.zarr")
    assert archive.slide_ids() == sorted(slides)
    assert [row["slide_id"] for row in read_index(archive)] == sorted(slides)
    # a store from the URL would open a session of its own, which zarr-python never closes
    files = AsyncFileSystemWrapper(fsspec.filesystem("s3"), asynchronous=True)
    path = f"{bucket}/a.zarr".removeprefix("s3://")
    group = zarr.open_group(FsspecStore(files, path=path, read_only=True), mode="r")
    for store in archive.stores():
        assert verify_store(store) == []
        chosen = np.random.default_rng(0).permutation(len(store))[:16]
        expected = group[store.slide_id]["patches"].oindex[chosen]
        assert np.array_equal(PatchReader(store).read(chosen), expected)


@pytest.mark.slow
def test_two_runs_share_a_bucket(bucket: str, slides: Slides, tmp_path: Path, cut: Cut) -> None:
    cut(tmp_path / "a.zarr", slides, COPYING)
    location = f"{bucket}/a.zarr"
    with (
        started(location, slides, COPYING, workers=1) as one,
        started(location, slides, COPYING, workers=1) as other,
    ):
        outcomes = one.finish() + other.finish()
    assert sorted(o["state"] for o in outcomes) == ["done"] * 3 + ["skipped"] * 3
    assert objects(location) == local_objects(tmp_path / "a.zarr")


KEYS = ("bundled/patches/c/0/0/0/0", "bundled/status/zarr.json")


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS, ids=["cutting", "committing"])
def test_a_killed_run_leaves_nothing_visible_in_a_bucket(
    key: str, bucket: str, slides: Slides, tmp_path: Path, cut: Cut
) -> None:
    cut(tmp_path / "a.zarr", slides, COPYING)
    location = f"{bucket}/a.zarr"
    with started(
        location, slides, COPYING, workers=1, die_at={"key": key, "moment": "after"}
    ) as run:
        run.process.wait(timeout=120)
        assert run.process.returncode == -9
    archive = Archive.open(location)
    assert f"{location}/{key}".removeprefix("s3://") in fsspec.filesystem("s3").find(location)
    assert "bundled" not in archive.slide_ids()
    assert all(verify_store(store) == [] for store in archive.stores())
    cut(location, slides, COPYING)
    assert objects(location) == local_objects(tmp_path / "a.zarr")


def test_leases_in_a_bucket_are_exclusive(bucket: str) -> None:
    storage = open_storage(f"{bucket}/a.zarr")
    with Leases(storage) as one, Leases(storage) as other:
        assert one.acquire("slide")
        assert not other.acquire("slide")
        one.release("slide")
        assert other.acquire("slide")
        with pytest.raises(LeaseError, match="another run has taken the slide over"):
            one.check("slide")
    assert not [key for key in objects(f"{bucket}/a.zarr") if key.startswith(SCRATCH)]
