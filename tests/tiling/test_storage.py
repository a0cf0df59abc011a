"""Objects are there wholly or not at all, on a folder and on an object store."""

import errno
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tiling.errors import StoreError
from tiling.storage import LocalStorage, ObjectStorage, Storage, open_storage
from tiling.storage import local as module


@pytest.fixture(params=["folder", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "folder":
        yield LocalStorage(str(tmp_path / "root"))
        return
    memory = fsspec.filesystem("memory")
    yield ObjectStorage("memory://archives/root")
    memory.rm("/archives", recursive=True) if memory.exists("/archives") else None


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# What both kinds of storage do.


def test_what_is_written_is_read(storage: Storage) -> None:
    storage.write("a/b/c", [b"one", b"", b"two"])
    assert storage.read("a/b/c") == b"onetwo"
    assert storage.size("a/b/c") == 6
    assert storage.exists("a/b/c")


def test_writing_again_replaces(storage: Storage) -> None:
    storage.write("a", [b"a long first version"])
    storage.write("a", [b"short"])
    assert storage.read("a") == b"short"


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, 10, b"0123456789"),
        (3, 5, b"34"),
        (9, 10, b"9"),
        (-4, 0, b"6789"),
        (-10, 0, b"0123456789"),
    ],
)
def test_ranges(storage: Storage, start: int, stop: int, expected: bytes) -> None:
    storage.write("digits", [b"0123456789"])
    assert storage.read_range("digits", start, stop) == expected


def test_many_ranges_keep_their_order(storage: Storage) -> None:
    storage.write("digits", [b"0123456789"])
    storage.write("letters", [b"abcdef"])
    keys = ["letters", "digits", "letters", "digits"]
    found = storage.read_ranges(keys, [4, 0, 0, 8], [6, 2, 1, 10])
    assert found == [b"ef", b"01", b"a", b"89"]


@pytest.mark.parametrize("read", ["read", "size"])
def test_what_is_not_there_is_not_found(storage: Storage, read: str) -> None:
    with pytest.raises(FileNotFoundError):
        getattr(storage, read)("nothing/here")
    assert not storage.exists("nothing/here")
    assert storage.names("nothing") == []
    storage.delete("nothing")
    storage.prune("nothing")


def test_a_folder_is_no_object(storage: Storage) -> None:
    storage.write("a/b", [b"x"])
    assert not storage.exists("a")


def test_names_are_those_right_below(storage: Storage) -> None:
    for key in ("s/b/1", "s/a", "s/b/2", "t/c"):
        storage.write(key, [b"x"])
    assert storage.names("s") == ["a", "b"]
    assert storage.names("") == ["s", "t"]
    assert storage.names("s/b") == ["1", "2"]


def test_create_makes_once(storage: Storage) -> None:
    assert storage.create("lease", b"first")
    assert not storage.create("lease", b"second")
    assert storage.read("lease") == b"first"


def test_delete_takes_all_that_is_below(storage: Storage) -> None:
    for key in ("a/1", "a/b/2", "ab"):
        storage.write(key, [b"x"])
    storage.delete("a")
    assert storage.names("") == ["ab"]
    storage.delete("ab")
    assert storage.names("") == []


def test_publishing_shows_all_at_once(storage: Storage) -> None:
    staged = storage.staging("slide", "token")
    storage.write(f"{staged}/data", [b"pixels"])
    assert not storage.exists("slide/zarr.json")
    storage.publish(staged, "slide", "zarr.json", b"{}")
    assert storage.names("slide") == ["data", "zarr.json"]
    assert storage.read("slide/zarr.json") == b"{}"


def test_storages_pickle(storage: Storage) -> None:
    storage.write("a", [b"x"])
    again = pickle.loads(pickle.dumps(storage))
    assert type(again) is type(storage)
    assert again.read("a") == b"x"


@pytest.mark.parametrize(
    ("location", "kind", "root"),
    [
        ("/data/a.zarr", LocalStorage, "/data/a.zarr"),
        ("a.zarr", LocalStorage, str(Path("a.zarr").absolute())),
        ("file:///data/a.zarr", LocalStorage, "/data/a.zarr"),
        ("memory://a.zarr", ObjectStorage, "memory://a.zarr"),
        ("s3://bucket/a.zarr", ObjectStorage, "s3://bucket/a.zarr"),
    ],
)
def test_location_decides(location: str, kind: type[Storage], root: str) -> None:
    found = open_storage(location)
    assert type(found) is kind
    assert found.root == root


# A folder.


class FullDisk:
    """Parts of which the second cannot be written."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __iter__(self) -> Iterator[bytes]:
        yield b"x" * (2 << 20)
        raise self.error


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StoreError),
        (ValueError("not an OSError"), ValueError),
        (KeyboardInterrupt("Ctrl-C"), KeyboardInterrupt),
    ],
    ids=["full", "other", "ctrl-c"],
)
@pytest.mark.parametrize("before", [None, b"old"], ids=["new", "replacing"])
def test_a_failing_writer_leaves_nothing(
    tmp_path: Path, error: BaseException, seen: type[BaseException], before: bytes | None
) -> None:
    storage = LocalStorage(str(tmp_path))
    if before is not None:
        storage.write("s/key", [before])
    with pytest.raises(seen, match=r"No space left|not an OSError|Ctrl-C"):
        storage.write("s/key", FullDisk(error))  # type: ignore[arg-type]
    assert files(tmp_path) == ([] if before is None else ["s/key"])
    if before is not None:
        assert storage.read("s/key") == before


def test_an_error_of_the_disk_keeps_its_number_and_names_the_file(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StoreError, match=r"cannot write .*/s/key: No space left") as caught:
        storage.write("s/key", FullDisk(full))  # type: ignore[arg-type]
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.__cause__ is full


@pytest.mark.parametrize("how", ["write", "create"])
def test_a_file_where_a_folder_should_be(tmp_path: Path, how: str) -> None:
    (tmp_path / "s").write_bytes(b"a file")
    storage = LocalStorage(str(tmp_path))
    with pytest.raises(StoreError, match=rf"cannot {how} .*/s/key"):
        storage.write("s/key", [b"x"]) if how == "write" else storage.create("s/key", b"x")
    assert files(tmp_path) == ["s"]


def test_readers_see_a_whole_object_while_it_is_replaced(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    versions = {letter * 100_000 for letter in (b"a", b"b")}
    storage.write("key", [b"a" * 100_000])
    stop = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not stop.is_set():
            seen.add(storage.read("key"))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(30):
        for version in versions:
            storage.write("key", [version[:50_000], version[50_000:]])
    stop.set()
    reader.join()
    assert seen <= versions


@pytest.mark.parametrize("links", [True, False], ids=["with-links", "without-links"])
def test_of_many_threads_one_creates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:

        def no_links(*_: object) -> None:
            raise OSError(errno.EPERM, "no hard links here")

        monkeypatch.setattr(module.os, "link", no_links)
    storage = LocalStorage(str(tmp_path))
    for round_number in range(10):
        barrier = threading.Barrier(12)
        won: list[int] = []

        def create(number: int, key: str, barrier: threading.Barrier, won: list[int]) -> None:
            barrier.wait()
            if storage.create(key, b"%06d" % number):
                won.append(number)

        key = f"leases/{round_number}"
        threads = [threading.Thread(target=create, args=(n, key, barrier, won)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert storage.read(key) == b"%06d" % won[0]
    assert len(files(tmp_path)) == 10


@pytest.mark.parametrize("kernel", [True, False], ids=["one-exchange", "two-renames"])
def test_publishing_over_a_slide_replaces_it_wholly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: bool
) -> None:
    if not kernel:
        monkeypatch.setattr(module.ctypes, "CDLL", lambda *_, **__: object())
    storage = LocalStorage(str(tmp_path))
    storage.write("slide/zarr.json", [b"old"])
    storage.write("slide/only-old", [b"old"])
    staged = storage.staging("slide", "token")
    storage.write(f"{staged}/only-new", [b"new"])
    storage.publish(staged, "slide", "zarr.json", b"new")
    assert files(tmp_path) == ["slide/only-new", "slide/zarr.json"]
    assert storage.read("slide/zarr.json") == b"new"


def test_an_exchange_leaves_no_moment_without_the_slide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchange itself is one system call: neither folder is renamed away first."""
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("renamed in two steps"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    module._exchange(tmp_path / "one", tmp_path / "two")
    assert files(tmp_path) == ["one/two", "two/one"]


def test_what_is_staged_is_out_of_sight(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    assert storage.staging("slide", "token").startswith(".")
    assert storage.staging("slide", "token") != storage.staging("slide", "other")


def test_a_commit_that_fails_is_an_error_of_the_store(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    with pytest.raises(StoreError, match=r"cannot commit .*no/such/parent"):
        storage.publish(".staged", "no/such/parent", "zarr.json", b"{}")


def test_prune_removes_what_is_empty_and_nothing_else(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    storage.write("scratch/kept/lease", [b"x"])
    for name in ("a/b/c", "kept/empty"):
        (tmp_path / "scratch" / name).mkdir(parents=True)
    storage.prune("scratch")
    assert files(tmp_path) == ["scratch/kept/lease"]
    assert sorted(os.listdir(tmp_path / "scratch")) == ["kept"]  # noqa: PTH208 - names alone
    storage.delete("scratch/kept/lease")
    storage.prune("scratch")
    assert list(tmp_path.iterdir()) == []
