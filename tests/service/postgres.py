"""A real PostgreSQL server for tests: in a temporary folder, reached by a socket in that folder."""

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")
START_S = 60


class Server:
    """A server that tests may stop and start again.

    Attributes:
        folder: of its data and its socket; whoever runs it owns it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make its data."""
        self._give_away(self.folder)
        words = ["-D", self.data, "-U", "tests", "-A", "trust", "-E", "UTF8", "--no-sync"]
        done = subprocess.run(
            [*_as_user(), program("initdb"), *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        assert done.returncode == 0, done.stderr

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "max_connections": "200",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_as_user(), program("postgres"), "-D", str(self.data), *words],
                stdout=log,
                stderr=log,
                cwd="/",
            )
        self._wait()

    def stop(self) -> None:
        """Stop it at once; who is connected is cut off."""
        if self._process is not None:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            os.kill(pid, 3)  # SIGQUIT: immediate shutdown
            self._process.wait(START_S)
            self._process = None

    def new_database(self) -> str:
        """Make an empty database; gives its URL for SQLAlchemy."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self._words("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://tests@/{name}?host={self.folder}"

    def _words(self, database: str) -> str:
        return f"host={self.folder} user=tests dbname={database}"

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self._words("postgres")).close()
            except psycopg.OperationalError:
                assert time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.05)
            else:
                return

    def _give_away(self, folder: Path) -> None:
        if os.geteuid() == 0:
            owner = _other_user()
            os.chown(folder, owner.pw_uid, owner.pw_gid)


@contextmanager
def server() -> Iterator[Server]:
    """Run a server; skips where there is none, and fails where one is required."""
    _require()
    # not in pytest's folders, whose parents another user may not enter; a socket's path is short
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        running = Server(Path(folder))
        running.make()
        running.start()
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server for all tests of a session; each makes its own database."""
    with server() as running:
        yield running


def program(name: str) -> str:
    """Path of a program of PostgreSQL; empty where there is none."""
    folders = [folder for place in PLACES for folder in sorted(glob.glob(place), reverse=True)]  # noqa: PTH207 - absolute patterns
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *folders])) or ""


def _require() -> None:
    missing = [name for name in ("initdb", "postgres") if not program(name)]
    why = f"no {' and no '.join(missing)}: install PostgreSQL" if missing else _no_user()
    if not why:
        return
    if "postgresql" in os.environ.get("MICROTOME_REQUIRE", "").split(","):
        pytest.fail(f"PostgreSQL is required here: {why}")
    pytest.skip(why)


def _no_user() -> str:
    """Say why root cannot start it as somebody else, which it must."""
    if os.geteuid() or shutil.which("setpriv"):
        return ""
    return "root may not run PostgreSQL, and there is no setpriv to run it as somebody else"


def _other_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _as_user() -> list[str]:
    if os.geteuid():
        return []
    owner = _other_user()
    return ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
