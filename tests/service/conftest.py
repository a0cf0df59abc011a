"""What tests of the service share: a planted folder, the application, a served process, tokens."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from service.app import create_app
from service.auth.access import Scope
from service.auth.store import create_token
from workflows.serve import PREFIX, ServeConfig

BASE_URL = "http://127.0.0.1"
LOOPBACK = ("127.0.0.1", 50000)
Bearer = Callable[..., dict[str, str]]


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with demo.zarr, its embeddings and maps; not to be changed."""
    from tests.service.planted import plant

    folder = tmp_path_factory.mktemp("planted")
    plant(folder)
    return folder


@pytest.fixture
def work(planted: Path, tmp_path: Path) -> Path:
    """A copy of the planted folder, for a test to change."""
    return shutil.copytree(planted, tmp_path / "work", dirs_exist_ok=True)


@pytest.fixture
def slides_root(tmp_path: Path, cmu_slide: Path) -> Path:
    """The folder of slides that may be registered: cmu.svs, and another one in a folder."""
    root = tmp_path / "slides"
    (root / "more").mkdir(parents=True)
    for name in ("cmu.svs", "more/other.svs"):
        shutil.copyfile(cmu_slide, root / name)
    return root


@pytest.fixture
def settings(work: Path, slides_root: Path) -> ServeConfig:
    """No jobs run; `settings.model_copy(update=…)` makes others."""
    return ServeConfig(work=str(work), slides=str(slides_root), jobs=0)


@pytest.fixture
def app(settings: ServeConfig) -> FastAPI:
    """The application on the planted folder."""
    return create_app(settings)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """A client on loopback; while no token exists it may do everything."""
    with opened(app) as client:
        yield client


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[TestClient]:
    """A client of an application on an empty folder, for what needs no slides."""
    app = create_app(ServeConfig(work=str(tmp_path / "bare"), jobs=0))
    with opened(app) as client:
        yield client


@contextmanager
def opened(app: FastAPI, address: str = LOOPBACK[0]) -> Iterator[TestClient]:
    """Start an application, and give a client that asks from an address.

    An error that no handler knows becomes 500, as it does behind a real server.
    """
    peer = (address, LOOPBACK[1])
    with TestClient(app, BASE_URL, client=peer, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def bearer(client: TestClient) -> Bearer:
    """Make a token for `client` and give its header: `bearer("read", "submit")`."""
    return bearer_of(client)


def bearer_of(client: TestClient) -> Bearer:
    """Make a maker of tokens for any client of an application; the first one closes its door."""

    def make(*scopes: Scope, name: str = "someone", days: float | None = None) -> dict[str, str]:
        state = client.app.state  # type: ignore[attr-defined]  # FastAPI has it
        _, key = create_token(state.database, name, scopes or ("read",), days)
        state.tokens.known.forget()
        return {"Authorization": f"Bearer {key}"}

    return make


@pytest.fixture
def served(work: Path, slides_root: Path) -> Iterator[str]:
    """URL of a real process on the planted folder that runs one job at a time on one worker."""
    words = ["--work", work, "--slides", slides_root, "--workers", "1", "--jobs", "1"]
    with serving(*words) as url:
        yield url


@contextmanager
def serving(*words: object, log: Path | None = None) -> Iterator[str]:
    """Run `microtome serve` on a free port of loopback, and stop it afterwards.

    Args:
        words: further options.
        log: takes what it writes to stderr.
    """
    with starting(*words, log=log) as (url, _):
        yield url


@contextmanager
def starting(
    *words: object, log: Path | None = None
) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """As `serving`, and give the process too."""
    command = [sys.executable, "-m", "workflows.cli", "serve", "--port", "0", *map(str, words)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with (log or Path(os.devnull)).open("a") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environ
        )
    try:
        assert process.stdout is not None
        found = re.match(r"serving (http://\S+)", process.stdout.readline())
        assert found, f"did not start: {log.read_text() if log else 'see its log'}"
        yield found[1], process
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
