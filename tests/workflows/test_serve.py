"""`microtome serve`: settings, addresses, start and stop."""

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.conftest import starting
from tests.workflows.conftest import Microtome
from workflows.config import make_config
from workflows.errors import UsageError
from workflows.serve import ServeConfig, from_environment, settled


def test_settings_come_from_the_environment() -> None:
    environ = {
        "MICROTOME_SERVE_SLIDES": "slides",
        "MICROTOME_SERVE_ARCHIVES": '["a.zarr", "s3://b/c.zarr"]',
        "MICROTOME_SERVE_PORT": "0",
        "MICROTOME_SERVE_DATABASE": "postgresql+psycopg://user@host/db",
        "MICROTOME_SERVE_MAX_UPLOAD_GB": "0.5",
        "MICROTOME_OTHER": "x",
    }
    assert from_environment(environ) == ServeConfig(
        slides="slides",
        archives=("a.zarr", "s3://b/c.zarr"),
        port=0,
        database="postgresql+psycopg://user@host/db",
        max_upload_gb=0.5,
    )
    assert from_environment({}) == ServeConfig()


def test_what_is_given_wins_over_the_environment() -> None:
    environ = {"MICROTOME_SERVE_PORT": "9000", "MICROTOME_SERVE_JOBS": "3"}
    given = make_config(ServeConfig, {"port": 8000})  # the default, but said
    merged = settled(given, environ)
    assert (merged.port, merged.jobs) == (8000, 3)


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(UsageError, match="--port"):
        settled(ServeConfig(), {"MICROTOME_SERVE_PORT": "many"})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_a_public_address_needs_a_token(microtome: Microtome, tmp_path: Path, host: str) -> None:
    ran = microtome("serve", "--work", tmp_path, "--host", host, "--port", 0)
    assert ran.code == 2
    assert "microtome token create" in ran.err


def test_a_port_that_is_taken_is_told_in_one_sentence(microtome: Microtome, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = microtome("serve", "--work", tmp_path, "--port", taken.getsockname()[1])
    assert ran.code == 2
    assert "cannot listen on 127.0.0.1, port" in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--database", "postgresql+psycopg://u:secret@127.0.0.1:1/x"], "Connection refused"),
        (["--database", "sqlite:////nowhere/x.sqlite"], "unable to open database file"),
        (["--slides", "/nowhere"], "there is no such folder"),
        (["--database", "nonsense"], "the database cannot be used"),
        (["--archives", "a/x.zarr", "--archives", "b/x.zarr"], "have the name 'x.zarr'"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(
    microtome: Microtome, tmp_path: Path, words: list[str], told: str
) -> None:
    ran = microtome("serve", "--work", tmp_path, "--port", 0, *words)
    assert ran.code == 2
    assert told in ran.err
    assert "secret" not in ran.err
    assert ran.err.count("\n") == 1


def test_a_database_that_is_none_is_told(microtome: Microtome, tmp_path: Path) -> None:
    (tmp_path / "service.sqlite").write_bytes(b"\7no database at all" * 1000)
    ran = microtome("serve", "--work", tmp_path, "--port", 0)
    assert ran.code == 2
    assert "file is not a database" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("words", [["serve", "--port", 0], ["token", "list"]])
def test_a_database_of_a_newer_version_is_told(
    microtome: Microtome, tmp_path: Path, words: list[Any]
) -> None:
    with closing(sqlite3.connect(tmp_path / "service.sqlite")) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES ('from-the-future')")
        database.commit()
    ran = microtome(*words, "--work", tmp_path)
    assert ran.code == 2
    assert "Can't locate revision identified by 'from-the-future'" in ran.err
    assert ran.err.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_told(microtome: Microtome, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = microtome("serve", "--work", tmp_path / "file" / "work", "--port", 0)
    assert ran.code == 2
    assert "Not a directory" in ran.err


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_stops_cleanly(tmp_path: Path, how: signal.Signals) -> None:
    log = tmp_path / "log"
    words = ("--work", tmp_path / "work", "--jobs", 0)
    with starting(*words, log=log) as (url, process):
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
        process.send_signal(how)
        assert process.wait(30) == 0
        assert process.stdout is not None
        assert process.stdout.read() == ""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert not [line for line in lines if line["level"] in ("warning", "error")]
    with pytest.raises(httpx.ConnectError, match="refused"):
        httpx.get(f"{url}/healthz")


def test_with_a_token_it_listens_everywhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "workflows.cli", "token", "create", "--json"]
    words = ["--name", "me", "--work", str(tmp_path)]
    made = subprocess.run([*command, *words], capture_output=True, text=True, check=True)
    token = json.loads(made.stdout)["token"]
    with starting("--work", tmp_path, "--jobs", 0, "--host", "0.0.0.0") as (url, _):
        here = url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{here}/api/v1/me").status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{here}/api/v1/me", headers=headers).json()["name"] == "me"
