"""The service as a process that tests may kill: `python -m tests.service.jobs.api SETTINGS TIMING`.

It differs from `microtome serve` in its spans alone: a lease of two seconds makes tests short.
"""

import json
import logging
import socket
import sys

import uvicorn

from service.app import create_app
from service.jobs.timing import Timing
from workflows.serve import ServeConfig


class Server(uvicorn.Server):
    """Says where it listens, once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets is not None
        sys.stdout.write(f"http://127.0.0.1:{sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s", level="WARNING")
    logging.getLogger("microtome").setLevel("INFO")
    app = create_app(ServeConfig(**json.loads(sys.argv[1])))
    app.state.job_timing = Timing(**json.loads(sys.argv[2]))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2)
        Server(config).run([listening])


if __name__ == "__main__":
    main()
