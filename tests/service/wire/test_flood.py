"""Ten thousand requests that make no sense, and clients that are slow on purpose."""

import random
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from service.wire.protocol import PatientProtocol
from tests.service.conftest import starting

REQUESTS = 10_000
AT_ONCE = 50
MOST_GROWTH_BYTES = 60_000_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int, Path]]:
    """URL, process ID and log of a process without slides, which a token keeps shut."""
    folder = tmp_path_factory.mktemp("flood")
    with starting("--work", folder / "work", "--jobs", 0, log=folder / "log") as (url, process):
        made = httpx.post(f"{url}/api/v1/tokens", json={"name": "x", "scopes": ["read"]})
        assert made.status_code == 201
        yield url, process.pid, folder / "log"


def connect(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def bad_request(rng: random.Random) -> bytes:
    """Give one of many kinds of nonsense, as it goes over the wire."""
    words = [
        "/api/v1/slides/" + "%2e%2e%2f" * rng.randrange(20) + "etc/passwd",
        f"/api/v1/slides/x_files/{rng.randrange(10**30)}/0_0.jpeg",
        f"/api/v1/slides?limit={rng.choice(['-1', 'x', '9' * 50])}&cursor={rng.random()}",
        "/" + "".join(chr(rng.randrange(33, 127)) for _ in range(rng.randrange(1, 300))),
        f"/api/v1/jobs/{rng.randrange(10**9)}/events",
        f"/nothing/{rng.randrange(10**9)}",
        "/%00%ff%fe",
    ]
    target = rng.choice(words).replace("/?", "/x").replace("/#", "/x")
    method = rng.choice(["GET", "POST", "DELETE", "PATCH", "PUT", "TRACE", "BREW"])
    body = rng.randbytes(rng.randrange(2000)) if rng.random() < 0.4 else b""
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {rng.choice(['127.0.0.1', 'evil.example.org'])}",
        f"Authorization: Bearer mt_{rng.randrange(10**6)}_{rng.randbytes(30).hex()}",
        f"Cookie: microtome_session={rng.random()}; a=b",
        f"X-Request-ID: {rng.random()}",
        f"Content-Type: {rng.choice(['application/json', 'text/plain', 'x', ''])}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if rng.random() < 0.02:
        lines[1] = "Host: a\x00b"
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def ask_many(url: str, count: int, rng: random.Random) -> list[int]:
    """Send so many, some at a time; gives what came of each."""
    statuses = []
    for _ in range(count // AT_ONCE):
        open_ones = [connect(url) for _ in range(AT_ONCE)]
        for one in open_ones:
            one.sendall(bad_request(rng))
        for one in open_ones:
            with one:
                answer = one.recv(64)
                statuses.append(int(answer.split()[1]))
    return statuses


@pytest.mark.timeout(300)
def test_nonsense_breaks_nothing_and_fills_no_memory(served: tuple[str, int, Path]) -> None:
    url, pid, log = served
    rng = random.Random(7)
    ask_many(url, 2000, rng)  # buffers and threads have their size now
    before = resident_bytes(pid)
    statuses = ask_many(url, REQUESTS - 2000, rng)
    assert {status for status in statuses if not 400 <= status < 500} == set()
    assert {400, 401, 404, 405} <= set(statuses)
    assert resident_bytes(pid) - before < MOST_GROWTH_BYTES
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert '"level": "error"' not in log.read_text()


def test_slow_clients_hold_up_nobody(served: tuple[str, int, Path]) -> None:
    url, _, _ = served
    head = b"POST /api/v1/session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    slow = [connect(url) for _ in range(200)]
    for number, one in enumerate(slow):
        whole = head + b"Content-Length: 500\r\n\r\n{"
        one.sendall(whole if number % 2 else head[:60])
    began = time.monotonic()
    for _ in range(20):
        assert httpx.get(f"{url}/version").status_code == 200
    assert time.monotonic() - began < 10  # no measurement: the slow ones would take for ever
    for one in slow:
        one.close()


def test_half_a_request_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatientProtocol, "head_s", 0.3)
    app = FastAPI()
    app.get("/")(lambda: "ok")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(app, http=PatientProtocol, log_config=None, timeout_keep_alive=60)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        with connect(url) as half, connect(url) as again:
            half.sendall(b"GET / HTTP/1.1\r\nHost: ")
            again.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert again.recv(1000).startswith(b"HTTP/1.1 200")
            time.sleep(0.5)  # a connection that only waits stays open
            again.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert again.recv(1000).startswith(b"HTTP/1.1 200")
            assert half.recv(1000) == b""
        server.should_exit = True
        thread.join()
