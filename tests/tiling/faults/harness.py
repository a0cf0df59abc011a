"""Runs as processes of their own, and what an archive on disk is made of."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import zarr
import zarr.errors

from tiling.request import CutOptions, SlideSource
from tiling.store import Archive
from tiling.verify import verify_store

ROOT = Path(__file__).parents[3]
COORDINATOR = Path(__file__).with_name("coordinator.py")

EPOCH = "1700000000"
"""SOURCE_DATE_EPOCH of every run, so that archives can be compared byte by byte."""

PATIENCE_S = 120
"""For what takes seconds on an idle machine; no test waits for it to pass by."""

Slides = Mapping[str, str]


def environment(**extra: str) -> dict[str, str]:
    """What a child process needs to find the packages and to stamp archives alike."""
    return os.environ | {"PYTHONPATH": str(ROOT), "SOURCE_DATE_EPOCH": EPOCH} | extra


def sources(slides: Slides) -> list[SlideSource]:
    return [SlideSource(name, location) for name, location in slides.items()]


class Run:
    """A coordinator and its workers, in a process group of their own."""

    def __init__(
        self, archive: Path | str, slides: Slides, options: CutOptions, **request: Any
    ) -> None:
        document = {"archive": str(archive), "slides": dict(slides), "options": asdict(options)}
        if "scheduler" not in request:
            document["workers"] = 2
        self.process = subprocess.Popen(
            [sys.executable, str(COORDINATOR), json.dumps(document | request)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            start_new_session=True,
        )

    def wait_until_ready(self) -> None:
        """Wait until the workers are up and the run begins."""
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            raise AssertionError(self.process.communicate()[1])

    def finish(self) -> list[dict[str, Any]]:
        """Wait for the end; the outcomes, or an AssertionError with what it said."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode in (0, 3), err
        outcomes: list[dict[str, Any]] = json.loads(out.splitlines()[-1])
        assert (self.process.returncode == 3) == any(o["state"] == "failed" for o in outcomes)
        return outcomes

    def kill(self) -> None:
        """Kill coordinator and workers at once, as a power cut does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    @property
    def workers(self) -> list[int]:
        """Process IDs of the Dask workers: the grandchildren that multiprocessing spawned."""
        return [pid for pid in _children(self.process.pid) if b"spawn_main" in _command(pid)]


@contextlib.contextmanager
def started(
    archive: Path | str, slides: Slides, options: CutOptions, **request: Any
) -> Iterator[Run]:
    """Start a run; whatever happens, nothing of it is left behind."""
    run = Run(archive, slides, options, **request)
    try:
        yield run
    finally:
        run.kill()


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def snapshot(archive: Path) -> dict[str, str]:
    """Every folder and file below the archive; of files, the hash of all bytes."""
    return {
        path.relative_to(archive).as_posix(): ""
        if path.is_dir()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(archive.rglob("*"))
    }


def assert_same(archive: Path, reference: Path) -> None:
    """Same files, same bytes, and nothing besides: no scratch, no temporary files."""
    found, wanted = snapshot(archive), snapshot(reference)
    assert sorted(found) == sorted(wanted)
    assert [key for key in wanted if found[key] != wanted[key]] == []


def assert_committed_is_whole(archive: Path) -> list[str]:
    """Whatever is visible passes verify, and zarr-python sees nothing else; the IDs."""
    if not (archive / "zarr.json").exists():
        return []
    found = Archive.open(str(archive))
    slide_ids = found.slide_ids()
    for slide_id in slide_ids:
        assert verify_store(found[slide_id]) == []
    with warnings.catch_warnings():
        # zarr-python says of the index and the scratch folder that they are no Zarr: so they should
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        assert sorted(zarr.open_group(str(archive), mode="r").group_keys()) == slide_ids
    return slide_ids


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    with contextlib.suppress(OSError):
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
