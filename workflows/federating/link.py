"""Flower's SuperLink in this process: TLS, only nodes whose keys are known, and a Grid to them.

No code is sent to the nodes: the run has no app bundle, each node runs what is installed there.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflows.errors import UsageError

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # before Flower is imported

import uvicorn
from flwr.common.constant import (
    HEARTBEAT_DEFAULT_INTERVAL,
    ISOLATION_MODE_PROCESS,
    NOOP_ACCOUNT_NAME,
    NOOP_FLWR_AID,
    SUPERLINK_NODE_ID,
    TRANSPORT_TYPE_GRPC_RERE,
)
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import SuperLinkLifespanConfig, load_control_authn_plugin
from flwr.superlink.grid import HttpGrid
from flwr.superlink.main import create_app
from flwr.superlink.servicer.runtime import runtime_handlers

DATABASE = "superlink.db"
"""Beside the rounds: nodes keep their numbers when the server is started again."""
START_S = 60.0
BEAT_S = 10.0


@dataclass(frozen=True)
class Door:
    """Where the server listens.

    Attributes:
        host: address.
        port: number.
        certificate: file of its certificate, PEM.
        key: file of that one's private key.
        authority: file of the certificate that signed it.
    """

    host: str
    port: int
    certificate: str
    key: str
    authority: str


class Link:
    """A SuperLink that is up, with one run of it.

    Attributes:
        grid: to the nodes.
        sites: name of each node's site, by number.
    """

    def __init__(self, state: LinkState, sites: Mapping[int, str]) -> None:
        self.sites = dict(sites)
        self._state = state
        run_id = state.create_run(
            None, None, None, {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TaskType.SERVER_APP
        )
        (run,) = state.get_run_info(run_ids=[run_id])
        self._task = run.primary_task_id
        token = state.claim_task(self._task)
        if token is None or not state.activate_task(self._task):
            raise RuntimeError("Flower does not start the run")
        self.grid = _HereGrid(_Here(state, state.get_task_by_token(token)))
        self.grid.set_run(run)
        TaskIdentity.task_id, TaskIdentity.run_id = self._task, run.run_id
        TaskIdentity.node_id = SUPERLINK_NODE_ID

    def beat(self) -> None:
        """Tell Flower that the run is alive; without this it ends it after some minutes."""
        self._state.acknowledge_task_heartbeat(self._task)


class _Here:
    """Answers what `HttpGrid` asks of the server, without a network in between."""

    def __init__(self, state: LinkState, task: Any) -> None:
        self._known = (state, task)

    def __getattr__(self, name: str) -> Any:
        """Give the handler of a request such as PushMessages."""
        plain = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
        handler = getattr(runtime_handlers, plain)
        return lambda request: handler(request, *self._known)

    def close(self) -> None:
        """Nothing is open."""


class _HereGrid(HttpGrid):  # type: ignore[misc]  # Flower's types are not known everywhere
    """Flower's own Grid, in the process of the server itself."""

    def __init__(self, here: _Here) -> None:
        super().__init__(token="none-is-needed-here")
        self._client = here


@contextmanager
def open_link(folder: Path, door: Door, keys: Mapping[str, bytes]) -> Iterator[Link]:
    """Start a SuperLink that lets in those whose keys are known, and no others.

    Args:
        folder: of the run.
        door: where it listens.
        keys: public keys, PEM, by site.

    Raises:
        UsageError: it cannot listen there.
    """
    logging.getLogger("flwr").handlers.clear()  # ours says it too
    logging.getLogger("flwr").setLevel(logging.WARNING)  # it tells of every request
    app = create_app(_lifespan(folder, door), SuperLinkLifespan)
    state: LinkState = app.state.linkstate_factory.state()
    sites = {_node(state, name, key): name for name, key in keys.items()}
    config = uvicorn.Config(
        app,
        host=door.host,
        port=door.port,
        ssl_keyfile=door.key,
        ssl_certfile=door.certificate,
        log_level="warning",
        access_log=False,
    )
    server = uvicorn.Server(config)
    listening = threading.Thread(target=server.run, name="superlink", daemon=True)
    listening.start()
    stop = threading.Event()
    try:
        _wait(server, listening, door)
        link = Link(state, sites)
        beating = threading.Thread(target=_beat, args=(link, stop), name="beat", daemon=True)
        beating.start()
        yield link
    finally:
        stop.set()
        server.should_exit = True
        listening.join(START_S)


def _beat(link: Link, stop: threading.Event) -> None:
    while not stop.wait(BEAT_S):
        link.beat()


def _wait(server: uvicorn.Server, listening: threading.Thread, door: Door) -> None:
    until = time.monotonic() + START_S
    while not server.started:
        if not listening.is_alive() or time.monotonic() > until:
            raise UsageError(
                f"cannot listen on {door.host}:{door.port} with {door.certificate}; is the port "
                "taken, or the certificate another key's?"
            )
        time.sleep(0.05)


def _node(state: LinkState, name: str, key: bytes) -> int:
    found: int | None = state.get_node_id_by_public_key(key)
    if found is None:
        found = state.create_node(
            NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, key, HEARTBEAT_DEFAULT_INTERVAL, name=name
        )
    return int(found)


def _lifespan(folder: Path, door: Door) -> SuperLinkLifespanConfig:
    files = (door.authority, door.certificate, door.key)
    certificates = tuple(Path(file).read_bytes() for file in files)
    return SuperLinkLifespanConfig(
        control_address="",
        health_server_address=None,
        host=door.host,
        port=door.port,
        insecure=False,
        certificates=certificates,
        superexec_auth_secret=None,
        authn_plugin=load_control_authn_plugin(),
        event_log_plugin=None,
        fleet_event_log_plugin=None,
        enable_event_log=False,
        artifact_provider=None,
        enable_supernode_auth=True,
        fleet_api_type=TRANSPORT_TYPE_GRPC_RERE,  # its only name; the transport is HTTP over TLS
        fleet_api_address=None,
        simulation=False,
        ssl_ca_certfile=door.authority,
        ssl_certfile=door.certificate,
        ssl_keyfile=door.key,
        database=str(folder / DATABASE),
        isolation=ISOLATION_MODE_PROCESS,
        runtime_dependency_install=False,
    )
