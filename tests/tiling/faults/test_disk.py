"""A full disk, a limit on file sizes, and folders that may not be written."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiling.faults.conftest import COPYING, OPTIONS, Cut
from tests.tiling.faults.harness import (
    PATIENCE_S,
    Slides,
    assert_committed_is_whole,
    assert_same,
    environment,
    snapshot,
    started,
)
from tiling.errors import StoreError

MEGABYTE = 1 << 20


def mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {done.stderr.strip()}")


@contextmanager
def mounted(folder: Path, size_mb: int) -> Iterator[Path]:
    """A disk of its own, in memory."""
    if shutil.which("mount") is None:
        pytest.skip("a small disk needs the program mount")
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for the two small slides, and not for the large one."""
    with mounted(tmp_path / "disk", 16) as folder:
        yield folder


def microtome(*words: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the command line; what it prints with `--json` is for machines."""
    command = [*prefix, sys.executable, "-m", "workflows.cli", *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=PATIENCE_S,
        check=False,
    )


TILE = ("--json", "--quiet", "--workers", "2", "--pictures", "0")
SAME = ("--patch-size", "1200", "--stride", "440", "--encoding", "lossless", "--min-tissue", "0")


@pytest.mark.slow
def test_a_full_disk_fails_the_slide_and_room_makes_it_good(
    disk: Path, slides: Slides, reference: Path
) -> None:
    archive = disk / "a.zarr"
    with started(archive, slides, OPTIONS, workers=1) as run:
        outcomes = {outcome["slide_id"]: outcome for outcome in run.finish()}
    failed = outcomes.pop("bundled")
    assert (failed["state"], failed["cause"]) == ("failed", "StoreError")
    assert "No space left on device" in failed["error"]
    assert str(archive) in failed["error"]
    assert {outcome["state"] for outcome in outcomes.values()} == {"done"}
    assert assert_committed_is_whole(archive) == sorted(outcomes)
    mount("-o", "remount,size=400m", str(disk))
    with started(archive, slides, OPTIONS) as run:
        states = {outcome["slide_id"]: outcome["state"] for outcome in run.finish()}
    assert states == {"bundled": "done", "copied": "skipped", "reduced": "skipped"}
    assert_same(archive, reference)


@pytest.mark.slow
def test_a_full_disk_is_exit_code_3_and_a_sentence(disk: Path, slides: Slides) -> None:
    archive = disk / "a.zarr"
    done = microtome("tile", *slides.values(), "--out", str(archive), *SAME, *TILE)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    assert document["slides"] == {"done": 2, "skipped": 0, "failed": 1}
    (failed,) = (o for o in document["outcomes"] if o["state"] == "failed")
    assert "No space left on device" in failed["error"]
    assert "No space left on device" in (disk / "a.zarr.failures.csv").read_text()
    assert len(assert_committed_is_whole(archive)) == 2
    mount("-o", "remount,size=400m", str(disk))
    done = microtome("tile", *slides.values(), "--out", str(archive), *SAME, *TILE)
    assert done.returncode == 0, done.stderr
    assert len(assert_committed_is_whole(archive)) == 3
    assert not (disk / "a.zarr.failures.csv").exists()
    assert not (archive / ".microtome").exists()


def fill(disk: Path) -> Path:
    """Leave no room at all."""
    with (disk / "filler").open("wb", 0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))
    return disk / "filler"


@pytest.mark.slow
def test_a_disk_without_any_room_is_one_sentence(disk: Path, slides: Slides) -> None:
    archive = disk / "a.zarr"
    words = ("--out", str(archive), *SAME, *TILE)
    assert microtome("tile", slides["copied"], *words).returncode == 0
    before = snapshot(archive)
    filler = fill(disk)
    done = microtome("tile", slides["copied"], slides["reduced"], *words)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert assert_committed_is_whole(archive) == ["copied"]
    filler.unlink()
    assert microtome("tile", slides["copied"], *words).returncode == 0
    assert snapshot(archive) == before


@contextmanager
def limited_files(size: int) -> Iterator[None]:
    """Let processes that are started meanwhile write no file of more bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
def test_a_limit_on_file_sizes_fails_the_slide(
    slides: Slides, reference: Path, tmp_path: Path, cut: Cut
) -> None:
    """The same as a full disk, on machines where none can be mounted."""
    archive, limit = tmp_path / "a.zarr", 8 * MEGABYTE
    with ExitStack() as stack:
        with limited_files(limit):
            run = stack.enter_context(started(archive, slides, OPTIONS))
        outcomes = {outcome["slide_id"]: outcome for outcome in run.finish()}
    assert "File too large" in outcomes["bundled"]["error"]
    assert [o["state"] for o in outcomes.values()] == ["failed", "done", "done"]
    assert assert_committed_is_whole(archive) == ["copied", "reduced"]
    cut(archive, slides)
    assert_same(archive, reference)


@pytest.fixture
def obedient() -> tuple[str, ...]:
    """Words before a command that make it obey permissions, whoever runs the tests."""
    if os.geteuid():
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root ignores permissions, and there is no setpriv to make it obey")
    rights = "-dac_override,-dac_read_search"
    words = ("setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}")
    done = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"root ignores permissions: {done.stderr.strip()}")
    return words


def test_no_permission_on_the_output_is_exit_code_2(
    obedient: tuple[str, ...], slides: Slides, tmp_path: Path, cut: Cut
) -> None:
    archive, closed = tmp_path / "a.zarr", tmp_path / "closed"
    cut(archive, {"copied": slides["copied"]}, COPYING)
    before = snapshot(archive)
    closed.mkdir()
    for folder in (closed, archive):
        folder.chmod(0o555)
    try:
        for out in (closed / "new.zarr", archive):
            done = microtome("tile", slides["reduced"], "--out", str(out), *TILE, prefix=obedient)
            assert done.returncode == 2
            assert "Permission denied" in done.stderr
            assert str(out) in done.stderr
            assert len(done.stderr.splitlines()) == 1
    finally:
        for folder in (closed, archive):
            folder.chmod(0o755)
    assert snapshot(archive) == before
    assert snapshot(closed) == {}


def test_a_slide_that_may_not_be_read_is_exit_code_3(
    obedient: tuple[str, ...], slides: Slides, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.svs"
    secret.write_bytes(Path(slides["copied"]).read_bytes())
    secret.chmod(0)
    archive = tmp_path / "a.zarr"
    words = ("tile", str(secret), slides["reduced"], "--out", str(archive), *TILE)
    done = microtome(*words, prefix=obedient)
    assert done.returncode == 3, done.stderr
    failed, good = json.loads(done.stdout)["outcomes"]
    assert (failed["state"], good["state"]) == ("failed", "done")
    assert "no permission to read it" in failed["error"]


def test_a_read_only_disk_is_one_sentence(slides: Slides, tmp_path: Path, cut: Cut) -> None:
    with mounted(tmp_path / "disk", 64) as disk:
        archive = disk / "a.zarr"
        cut(archive, {"copied": slides["copied"]}, COPYING)
        mount("-o", "remount,ro", str(disk))
        before = snapshot(archive)
        for out in (archive, disk / "new.zarr"):
            done = microtome("tile", slides["reduced"], "--out", str(out), *TILE)
            assert done.returncode == 2
            assert "Read-only file system" in done.stderr
            assert len(done.stderr.splitlines()) == 1
        with pytest.raises(StoreError, match="Read-only file system"):
            cut(archive, slides, replace(COPYING, mpp=0.5), overwrite=True)
        assert snapshot(archive) == before
