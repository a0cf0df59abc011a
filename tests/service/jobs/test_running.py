"""Jobs of a real process of the service: they run, stop, and survive what happens to it."""

import contextlib
import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.jobs.workers import Cluster
from tests.service.jobs.harness import Api, api, job_processes, wait_for
from tests.service.postgres import Server, server
from tests.tiling.faults.test_disk import fill, mounted

VERIFY = {"archive": "demo.zarr"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture
def settings(work: Path, slides_root: Path) -> dict[str, Any]:
    return {"work": str(work), "slides": str(slides_root), "workers": 1}


@pytest.fixture
def running(settings: dict[str, Any], tmp_path: Path) -> Iterator[Api]:
    with api(settings, tmp_path / "api.log") as started:
        yield started


def ends(running: Api, job_id: str) -> list[str]:
    """Lines of the log that end the job."""
    words = ("succeeded", "failed", "cancelled")
    return [text for text in running.log_of(job_id) if text.partition(":")[0] in words]


def child_of(job_id: str) -> int:
    found: int = wait_for(lambda: job_processes(job_id))[0]
    return found


def test_a_job_runs_and_its_events_are_told_as_they_come(running: Api) -> None:
    job_id = running.submit("verify", VERIFY, "k")
    wait_for(lambda: running.url)
    kinds, last = [], {}
    with httpx.stream("GET", f"{running.url}/api/v1/jobs/{job_id}/events", timeout=300) as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                kinds.append(line.removeprefix("event: "))
            elif line.startswith("data: "):
                last = json.loads(line.removeprefix("data: "))
    assert {"log", "progress", "state"} == set(kinds)
    assert (kinds[-1], last["state"], last["exit_code"]) == ("state", "succeeded", 0)
    outcome = running.ask("GET", f"/api/v1/jobs/{job_id}/outcome").json()["document"]
    assert outcome["archive"] == "demo.zarr"
    assert outcome["problems"] == []


def test_a_job_that_is_refused_says_so_without_paths_or_options(running: Api, work: Path) -> None:
    config = VERIFY | {"slide": "missing"}
    job = running.wait(running.submit("verify", config, "k"))
    assert (job["state"], job["exit_code"], job["attempts"]) == ("failed", 2, 1)
    assert job["error"].startswith("demo.zarr holds no slide 'missing'")
    assert str(work) not in json.dumps(running.log_of(job["id"]))


def test_a_killed_process_of_a_job_is_begun_again(running: Api) -> None:
    job_id = running.submit("verify", VERIFY, "k")
    os.kill(child_of(job_id), signal.SIGKILL)
    job = running.wait(job_id)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)
    assert ends(running, job_id) == ["succeeded"]
    assert any("its process died by SIGKILL" in text for text in running.log_of(job_id))


def test_a_running_job_is_cancelled_and_its_process_goes(running: Api) -> None:
    job_id = running.submit("verify", VERIFY, "k")
    child_of(job_id)
    assert running.ask("POST", f"/api/v1/jobs/{job_id}/cancel").status_code == 202
    assert running.wait(job_id)["state"] == "cancelled"
    assert job_processes(job_id) == []
    assert ends(running, job_id) == ["cancelled"]


def test_a_job_that_does_not_stop_is_killed(settings: dict[str, Any], tmp_path: Path) -> None:
    with api(settings, tmp_path / "api.log", grace_s=0.5) as running:
        job_id = running.submit("verify", VERIFY, "k")
        os.kill(child_of(job_id), signal.SIGSTOP)  # heeds no SIGTERM
        running.ask("POST", f"/api/v1/jobs/{job_id}/cancel")
        assert running.wait(job_id)["state"] == "cancelled"
        assert job_processes(job_id) == []


def test_a_clean_restart_puts_jobs_back_at_once(running: Api) -> None:
    job_id = running.submit("verify", VERIFY, "k")
    child = child_of(job_id)
    running.process.send_signal(signal.SIGTERM)
    job = running.wait(job_id)
    assert child not in job_processes()
    assert (job["state"], running.starts) == ("succeeded", 2)
    said = running.log_of(job_id)
    assert ends(running, job_id) == ["succeeded"]
    assert "the service stops; the job goes on when it is back" in said
    assert not any("died" in text for text in said)


def test_a_killed_service_takes_its_children_along_and_the_next_one_takes_its_jobs(
    running: Api,
) -> None:
    job_id = running.submit("verify", VERIFY, "k")
    child = child_of(job_id)
    running.kill()
    job = running.wait(job_id)
    assert (job["state"], job["attempts"], running.starts) == ("succeeded", 2, 2)
    wait_for(lambda: child not in job_processes())
    assert ends(running, job_id) == ["succeeded"]
    assert any("the process of the service that ran it died" in t for t in running.log_of(job_id))


def test_workers_of_this_machine_are_started_anew(running: Api, work: Path) -> None:
    config = {"slides": ["slides/cmu.svs"], "mpp": "native", "patch_size": 240, "pictures": 0}
    first = running.wait(running.submit("tile", config | {"out": "a.zarr"}, "a"))
    assert first["state"] == "succeeded", first
    (cluster,) = clusters(running.pid)
    second = running.submit("tile", config | {"out": "b.zarr"}, "b")
    wait_for(lambda: job_processes(second))
    os.kill(cluster, signal.SIGKILL)
    job = running.wait(second)
    assert job["state"] == "succeeded", running.log_of(second)
    assert clusters(running.pid) not in ([], [cluster])
    assert ends(running, second) == ["succeeded"]
    assert (work / "archives/a.zarr/cmu/zarr.json").exists()
    (cluster,) = clusters(running.pid)
    running.kill()
    wait_for(lambda: cluster not in clusters())


def clusters(parent: int | None = None) -> list[int]:
    """Process IDs of embedded clusters, or of those of one service."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            mine = parent is None or f"PPid:\t{parent}\n" in (place / "status").read_text()
            if mine and b"service.jobs.cluster" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
    return found


def test_a_worker_for_each_gpu_takes_gpu_tasks() -> None:
    cluster = Cluster(None, workers=1, gpus=1)
    try:
        assert cluster.ask() is None
        cluster.check()
        cluster.address()

        def known() -> bool:
            found = cluster.ask()
            return found is not None and (len(found.workers), found.gpus) == (2, 1)

        wait_for(known)
        assert all(size > 0 for size in cluster.memory().values())
    finally:
        cluster.close()
    assert cluster.process_id() is None


def test_a_database_that_goes_and_comes_back_loses_no_job(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        postgres = stack.enter_context(server())  # its own: others are using the session's
        more = {"database": postgres.new_database()}
        running = stack.enter_context(api(settings | more, tmp_path / "api.log"))
        _outage(running, postgres)


def _outage(running: Api, postgres: Server) -> None:
    job_id = running.submit("verify", VERIFY, "k")
    child_of(job_id)
    postgres.stop()
    answer = running.ask("GET", f"/api/v1/jobs/{job_id}")
    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert running.ask("GET", "/readyz").status_code == 503
    assert running.ask("GET", "/healthz").status_code == 200
    postgres.start()
    job = running.wait(job_id)
    assert job["state"] == "succeeded", running.log_of(job_id)
    assert ends(running, job_id) == ["succeeded"]
    assert running.starts == 1


def test_a_locked_database_is_waited_for(running: Api, work: Path) -> None:
    job_id = running.submit("verify", VERIFY, "k")
    child = child_of(job_id)
    with contextlib.closing(sqlite3.connect(work / "service.sqlite", timeout=60)) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        wait_for(lambda: child not in job_processes())  # it has ended, and nobody can write so
        other.execute("ROLLBACK")
    assert running.wait(job_id)["state"] == "succeeded"
    assert ends(running, job_id) == ["succeeded"]


def test_a_full_disk_is_told_and_room_makes_it_good(
    work: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk", 24) as disk:
        (disk / "demo.zarr").symlink_to(work / "demo.zarr")
        more = {"work": str(disk), "archives": [str(work / "demo.zarr")]}
        with api(settings | more, tmp_path / "api.log") as running:
            first = running.submit("verify", VERIFY, "first")
            assert running.wait(first)["state"] == "succeeded"
            filler = fill(disk)
            body = {"workflow": "verify", "config": VERIFY | {"slide": "x" * 50_000}}
            answer = running.ask("POST", "/api/v1/jobs", json=body)
            assert answer.status_code == 503, answer.text
            assert running.ask("GET", f"/api/v1/jobs/{first}").status_code == 200
            filler.unlink()
            assert running.wait(running.submit("verify", VERIFY, "second"))["state"] == "succeeded"
            assert running.starts == 1


def test_two_services_on_one_database_share_the_jobs(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        postgres = stack.enter_context(server())
        more = settings | {"database": postgres.new_database()}
        apis = [stack.enter_context(api(more, tmp_path / f"api-{n}.log")) for n in range(2)]
        jobs = [apis[n % 2].submit("verify", VERIFY, f"k{n}") for n in range(6)]
        same = apis[1].submit("verify", VERIFY, "k0")
        assert same == jobs[0]
        for job_id in jobs:
            assert apis[0].wait(job_id)["attempts"] == 1
            assert apis[1].job(job_id)["state"] == "succeeded"
            assert apis[1].log_of(job_id) == ["begun", "succeeded"]
        owners = [log.read_text().count("verify begun") for log in tmp_path.glob("api-*.log")]
        assert sum(owners) == 6
        assert min(owners) > 0
