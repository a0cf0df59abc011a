"""Leases: who owns a slide, who takes over from the dead, and why nobody comes back to life."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.tiling.faults.conftest import COPYING, Cut
from tests.tiling.faults.harness import (
    PATIENCE_S,
    Slides,
    assert_same,
    environment,
    snapshot,
    wait_until,
)
from tiling.errors import LeaseError
from tiling.lease import Leases, require_owner
from tiling.outcome import Progress
from tiling.storage import SCRATCH, LocalStorage
from tiling.store import Archive

NEVER = 1e6


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(str(tmp_path))


def run_elsewhere(storage: LocalStorage, token: str, beat: int = 0) -> None:
    """Write what a run on another machine writes of itself."""
    owner = {"host": "elsewhere", "namespace": "", "pid": 1, "started": "", "beat": beat}
    storage.write(f"{SCRATCH}/runs/{token}.json", [json.dumps(owner).encode()])


def dead_run_here(storage: LocalStorage) -> str:
    """Token of a run of this machine that announced itself and was killed."""
    program = (
        "import sys; from tiling.lease import Leases; from tiling.storage import LocalStorage\n"
        "import os, signal; leases = Leases(LocalStorage(sys.argv[1])); leases.__enter__()\n"
        "leases.acquire('slide'); print(leases.token, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", program, storage.root]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, env=environment()
    )
    return done.stdout.strip()


def lease(storage: LocalStorage, generation: int, token: str) -> None:
    assert storage.create(f"{SCRATCH}/leases/slide/{generation:06d}", token.encode())


def test_a_lease_is_exclusive_and_can_be_given_back(storage: LocalStorage) -> None:
    with Leases(storage) as one, Leases(storage) as other:
        assert one.acquire("slide")
        assert not other.acquire("slide")
        assert other.acquire("another")
        one.release("slide")
        assert other.acquire("slide")
        assert not one.owns("slide")


def test_a_worker_may_write_only_as_long_as_its_run_holds_the_slide(storage: LocalStorage) -> None:
    with pytest.raises(LeaseError, match="s: its run has ended, or another one has taken it over"):
        require_owner(storage, "s", "nobody")
    with Leases(storage) as one, Leases(storage) as other:
        assert one.acquire("s")
        require_owner(storage, "s", one.token)
        with pytest.raises(LeaseError, match="another one has taken it over"):
            require_owner(storage, "s", other.token)
        one.release("s")
        with pytest.raises(LeaseError, match="its run has ended"):
            require_owner(storage, "s", one.token)


def test_nothing_is_left_when_all_runs_have_ended(storage: LocalStorage) -> None:
    with Leases(storage) as one, Leases(storage) as other:
        one.acquire("slide")
        other.acquire("another")
    assert snapshot(Path(storage.root)) == {}


def test_a_killed_process_is_taken_over_at_once(storage: LocalStorage) -> None:
    assert dead_run_here(storage)
    with Leases(storage, stale_s=NEVER) as leases:
        assert leases.acquire("slide")
        leases.check("slide")


def test_a_run_that_announced_nothing_is_dead(storage: LocalStorage) -> None:
    lease(storage, 0, "unknown")
    with Leases(storage, stale_s=NEVER) as leases:
        assert leases.acquire("slide")


def test_a_run_elsewhere_is_taken_over_when_its_heart_stands_still(storage: LocalStorage) -> None:
    run_elsewhere(storage, "there")
    lease(storage, 0, "there")
    with Leases(storage, stale_s=0.05) as leases:
        assert not leases.acquire("slide")  # the first look knows nothing yet
        wait_until(lambda: leases.acquire("slide"))
        leases.check("slide")


def test_a_run_elsewhere_with_a_heartbeat_keeps_its_lease(storage: LocalStorage) -> None:
    lease(storage, 0, "there")
    with Leases(storage, stale_s=0.0) as leases:
        for beat in range(20):
            run_elsewhere(storage, "there", beat)
            assert not leases.acquire("slide")


def test_the_heart_of_a_waiting_run_beats(storage: LocalStorage) -> None:
    with Leases(storage, beat_s=0.01) as leases:
        key = f"{SCRATCH}/runs/{leases.token}.json"
        wait_until(lambda: json.loads(storage.read(key))["beat"] >= 3)


def taken_over(storage: LocalStorage, older: Leases) -> Leases:
    """Let another run find the older one dead, as if it were on another machine and silent."""
    run_elsewhere(storage, older.token)
    newer = Leases(storage, stale_s=0.0)
    assert not newer.acquire("slide")
    wait_until(lambda: newer.acquire("slide"))
    return newer


def test_a_run_that_was_taken_over_may_not_commit(storage: LocalStorage) -> None:
    older = Leases(storage)
    older.acquire("slide")
    newer = taken_over(storage, older)
    with pytest.raises(LeaseError, match="another run has taken the slide over"):
        older.check("slide")
    older.release("slide")
    newer.check("slide")


def test_an_old_lease_does_not_come_back_when_the_newer_one_is_given_back(
    storage: LocalStorage,
) -> None:
    older = Leases(storage)
    older.acquire("slide")
    taken_over(storage, older).release("slide")
    assert not older.owns("slide")
    with pytest.raises(LeaseError, match="another run has taken the slide over"):
        older.check("slide")


def test_a_run_does_not_take_a_third_ones_lease_for_its_own(storage: LocalStorage) -> None:
    older, third = Leases(storage), Leases(storage)
    older.acquire("slide")
    taken_over(storage, older).release("slide")
    assert third.acquire("slide")
    assert not older.owns("slide")
    older.release("slide")
    third.check("slide")


def test_a_sweep_removes_what_the_dead_left_and_nothing_else(storage: LocalStorage) -> None:
    dead = dead_run_here(storage)
    run_elsewhere(storage, "there")
    with Leases(storage, stale_s=NEVER) as living:
        living.acquire("mine")
        for token in (dead, "there", living.token, "unknown"):
            storage.write(f"{SCRATCH}/staging/some.slide.{token}/patches/c/0/0/0/0", [b"x"])
        living.sweep()
        staged = {name.rpartition(".")[2] for name in storage.names(f"{SCRATCH}/staging")}
        assert staged == {"there", living.token}
        tokens = {living.token, "there"}
        assert set(storage.names(f"{SCRATCH}/runs")) == {f"{token}.json" for token in tokens}
        living.check("mine")
        assert storage.names(f"{SCRATCH}/leases/slide") == []


def test_a_slide_that_another_run_took_over_is_not_committed(
    slides: Slides, tmp_path: Path, cut: Cut
) -> None:
    archive = tmp_path / "a.zarr"
    storage = Archive.create(str(archive)).storage
    thief = uuid.uuid4().hex[:12]

    def steal(now: Progress) -> None:
        if now.patches_total and storage.names(f"{SCRATCH}/leases/bundled") == ["000000"]:
            storage.create(f"{SCRATCH}/leases/bundled/000001", thief.encode())

    (outcome,) = cut(archive, {"bundled": slides["bundled"]}, COPYING, progress=steal).outcomes
    assert (outcome.state, outcome.cause) == ("failed", "LeaseError")
    assert Archive.open(str(archive)).slide_ids() == []
    cut(archive, slides, COPYING)
    cut(tmp_path / "b.zarr", slides, COPYING)
    assert_same(archive, tmp_path / "b.zarr")


BUSY = """
import sys
from tiling.lease import Leases
from tiling.storage import LocalStorage
for _ in range(100):
    with Leases(LocalStorage(sys.argv[1])) as leases:
        leases.sweep()
        assert leases.acquire(sys.argv[2])
        leases.check(sys.argv[2])
"""


def test_runs_that_come_and_go_do_not_take_folders_from_each_other(storage: LocalStorage) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BUSY, storage.root, name],
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        for name in ("one", "other")
    ]
    try:
        said = [process.communicate(timeout=PATIENCE_S)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert said == ["", ""]
    assert snapshot(Path(storage.root)) == {}
