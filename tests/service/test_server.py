"""The process as a whole: its log, its limits, and how it stops while somebody listens."""

import json
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from tests.service.conftest import starting


@pytest.fixture
def slides(tmp_path: Path, cmu_slide: Path) -> Path:
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "cmu.svs").write_bytes(cmu_slide.read_bytes())
    return tmp_path / "slides"


def test_it_stops_while_somebody_follows_a_job(tmp_path: Path, slides: Path) -> None:
    log = tmp_path / "log"
    words = ("--work", tmp_path / "work", "--slides", slides, "--jobs", 0)
    with starting(*words, log=log) as (url, process):
        httpx.post(f"{url}/api/v1/slides", json={"path": "cmu.svs"}).raise_for_status()
        order = {"workflow": "tile", "config": {"slides": ["cmu"], "out": "a.zarr"}}
        job = httpx.post(f"{url}/api/v1/jobs", json=order).raise_for_status()
        began = time.monotonic()
        with httpx.stream("GET", f"{url}{job.headers['location']}/events") as events:
            lines = events.iter_lines()
            assert next(lines).startswith("retry:")
            process.send_signal(signal.SIGTERM)
            list(lines)  # to its end, which is no broken connection
        assert process.wait(30) == 0
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line for line in told if line["level"] in ("warning", "error", "critical")] == []
    assert time.monotonic() - began < 30


def test_its_log_is_json_and_names_requests(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with starting("--work", tmp_path / "work", "--jobs", 0, log=log) as (url, process):
        httpx.get(f"{url}/api/v1/me", headers={"X-Request-ID": "mine-1"})
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as broken:
            broken.sendall(b"nonsense\r\n\r\n")
            assert broken.recv(100).startswith(b"HTTP/1.1 400")
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (request,) = [line for line in lines if line.get("request_id") == "mine-1"]
    assert (request["path"], request["status"], request["method"]) == ("/api/v1/me", 200, "GET")
    assert any(line["logger"] == "uvicorn.error" for line in lines)


def test_text_is_another_way_to_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    words = ("--work", tmp_path / "work", "--jobs", 0, "--log-format", "text")
    with starting(*words, log=log) as (url, _):
        httpx.get(f"{url}/api/v1/me")
    assert "INFO microtome.requests GET /api/v1/me 200" in log.read_text()
