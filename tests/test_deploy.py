"""The files for containers agree with the code: settings, commands, folders that are copied."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from distributed import Client

from workflows.serve import ServeConfig, from_environment

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "service" / "Dockerfile").read_text()
PUBLISHED = "127.0.0.1:8000:8000"
OURS = ("api", "scheduler", "worker", "worker-gpu")


def entrypoint(name: str, **instead: str) -> list[str]:
    """The command of a container, as it runs on this machine."""
    words = [str(word) for word in COMPOSE["services"][name]["entrypoint"]]
    for old, new in instead.items():
        words[words.index(f"--{old}") + 1] = new
    return [sys.executable, "-m", "distributed.cli.dask_" + words[1], *words[2:]]


@contextmanager
def running(words: list[str]) -> Iterator[None]:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("name", OURS)
def test_our_containers_may_write_nothing_but_their_volumes(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert [volume.partition(":")[2] for volume in service["volumes"] if "work:" in volume] == [
        "/data/work"
    ]
    assert all(volume.endswith(":ro") for volume in service["volumes"] if "slides" in volume)


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_container_has_a_health_check(name: str) -> None:
    assert COMPOSE["services"][name]["healthcheck"]["test"]


def test_only_the_api_is_reached_and_only_from_this_machine() -> None:
    ports = {name: one.get("ports", []) for name, one in COMPOSE["services"].items()}
    assert {name: found for name, found in ports.items() if found} == {"api": [PUBLISHED]}


def test_settings_of_the_containers_are_settings_of_the_service() -> None:
    lines = dict(re.findall(r"(MICROTOME_SERVE_\w+)=(\S+)", DOCKERFILE))
    given = lines | COMPOSE["services"]["api"]["environment"]
    known = {f"MICROTOME_SERVE_{name.upper()}" for name in ServeConfig.model_fields}
    assert set(given) - {"FORWARDED_ALLOW_IPS"} <= known
    settings = from_environment(given)
    assert (settings.work, settings.slides, settings.jobs) == ("/data/work", "/data/slides", 2)


def test_the_image_is_made_of_all_packages_and_runs_without_rights() -> None:
    copied = [line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ")]
    sources = {one for words in copied for one in words if not one.startswith("--")}
    shown = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert sources - {"/opt/microtome"} == shown
    assert all((ROOT / source).exists() for source in shown)
    assert {"wsi", "tiling", "models", "workflows", "service"} <= shown
    assert "\nUSER microtome\n" in DOCKERFILE


def test_scheduler_and_worker_start_as_the_file_says() -> None:
    port = "18786"
    address = f"tcp://127.0.0.1:{port}"
    scheduler = entrypoint("scheduler", host="127.0.0.1", port=port)
    worker = [address if word.startswith("tcp://") else word for word in entrypoint("worker-gpu")]
    with running(scheduler), running(worker), Client(address, timeout=60) as client:
        deadline = time.monotonic() + 60
        while not (found := client.scheduler_info(n_workers=-1)["workers"]):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        (one,) = found.values()
        assert one["resources"] == {"GPU": 1}
        assert one["nthreads"] == 1
