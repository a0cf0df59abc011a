"""The server of `microtome serve`: one process, one socket that is bound before anything starts."""

import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

import uvicorn
from alembic.util import CommandError
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from service.app import create_app
from service.archives import Archives
from service.auth.origins import is_loopback
from service.auth.store import any_token
from service.database import Database
from service.errors import InvalidError
from service.observe.logs import configure_logs
from service.schema import migrate
from service.wire.protocol import PatientProtocol
from service.work import database_url, work_folder
from workflows.errors import UsageError
from workflows.serve import ServeConfig

IDLE_S = 30
"""After so long without a request a connection is closed."""
STOP_S = 5
"""What is still being answered when the service stops has so much time left."""
BACKLOG = 2048


def serve(settings: ServeConfig) -> str:
    """Serve until a signal; gives the address.

    Raises:
        UsageError: the address cannot be had, or is public while no token exists; the database or
            two archives have one name.
    """
    _require_usable(settings)
    with _bound(settings.host, settings.port) as listening:
        url = _url(settings.host, listening.getsockname()[1])
        configure_logs(settings.log_format)
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            http=PatientProtocol,
            log_config=None,
            access_log=False,  # `service.observe` writes a better one
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=STOP_S,
        )
        with suppress(KeyboardInterrupt):  # raised again after a clean stop, which is no failure
            _Server(config, url, app).run([listening])
    return url


class _Server(uvicorn.Server):
    """Says where it listens, once it does, and lets streams know when it stops."""

    def __init__(self, config: uvicorn.Config, url: str, app: FastAPI) -> None:
        super().__init__(config)
        self._url, self._app = url, app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"serving {self._url}\n")
        sys.stdout.flush()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take note of the signal; events of jobs would go on for minutes."""
        self._app.state.stopping = True
        super().handle_exit(sig, frame)


def _require_usable(settings: ServeConfig) -> None:
    """Say in a sentence what would otherwise be said by a traceback once the server starts."""
    if settings.slides is not None and not Path(settings.slides).is_dir():
        raise UsageError(f"--slides {settings.slides}: there is no such folder")
    try:
        Archives(work_folder(settings), settings.archives)
        has_token = _has_token(settings)
    except InvalidError as err:
        raise UsageError(f"--archives: {err}") from err
    except OSError as err:
        raise UsageError(f"--work {settings.work}: {err.strerror or err}") from err
    except (SQLAlchemyError, CommandError, ImportError) as err:  # the last: no driver
        why = str(getattr(err, "orig", None) or err).strip().splitlines()[0]
        raise UsageError(f"the database cannot be used: {why}") from err
    if not has_token and not is_loopback(settings.host):
        raise UsageError(
            f"--host {settings.host} is reached from elsewhere, and there is no token yet;"
            " make one with `microtome token create`"
        )


def _has_token(settings: ServeConfig) -> bool:
    database = Database(database_url(settings))
    try:
        migrate(database)
        with database.session() as session:
            return any_token(session)
    finally:
        database.close()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as err:
        raise UsageError(f"cannot listen on {host}, port {port}: {err.strerror or err}") from err


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
