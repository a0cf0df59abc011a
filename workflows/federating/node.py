"""A hospital's side of Flower: TLS, its own key, orders in, answers out.

Runs the ClientApp of this installation; code that a server may offer is never fetched.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # before Flower is imported

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents, pull_objects
from flwr.supernode import fleet_http_connection

log = logging.getLogger(__name__)

POLL_S = 1.0

Keys = tuple[Any, Any]


@dataclass(frozen=True)
class Address:
    """Of the server, and what proves that it is the one.

    Attributes:
        server: host:port.
        authority: file of the certificate that signed the server's.
        keys: of this site, private and public.
    """

    server: str
    authority: str
    keys: Keys


class Node:
    """Answers orders until it is told that the run is over.

    Args:
        app: of this site.
        over: says whether to leave.

    Attributes:
        heard: when the server was last heard of, by the monotonic clock.
    """

    def __init__(self, app: ClientApp, over: Callable[[], bool]) -> None:
        self._app, self._over = app, over
        self.heard = time.monotonic()

    def serve(self, address: Address, patience_s: float) -> None:
        """Connect, and answer until the end.

        Args:
            address: of the server.
            patience_s: how long a lost connection is tried again, by Flower.

        Raises:
            ConnectionError: it is not let in, or not yet: the server takes a site that was killed
                for present until a minute after its last sign of life.
        """
        logging.getLogger("flwr").handlers.clear()  # ours says it too
        logging.getLogger("flwr").setLevel(logging.WARNING)  # it tells of every request
        fleet_http_connection.flwr_exit = _refuse
        with fleet_http_connection.http_request_response(
            address.server,
            insecure=False,
            root_certificates=address.authority,
            authentication_keys=address.keys,
            max_wait_time=patience_s,
        ) as connection:
            log.info("joined %s as node %s", address.server, connection[0])
            while not self._over():
                answered = self._answer(connection)
                self.heard = time.monotonic()
                if not answered:
                    time.sleep(POLL_S)

    def _answer(self, connection: Any) -> bool:
        """Answer one message; gives whether there was one."""
        number, receive, send, _, _, pull, push, confirm = connection
        found = receive()
        if found is None:
            return False
        head, tree = found
        run = head.metadata.run_id
        wanted = [one.object_id for one in iterate_object_tree(tree)]
        contents = pull_objects(wanted, pull_object_fn=lambda one: pull(run, one))
        message: Any = inflate_object_from_contents(head.metadata.message_id, contents)
        message.metadata.__dict__["_message_id"] = head.metadata.message_id
        confirm(run, head.metadata.message_id)
        reply = self._app(message, Context(run, number, {}, RecordDict(), {}))
        self._send(reply, run, send, push)
        return True

    def _send(self, reply: Message, run: int, send: Any, push: Any) -> None:
        """Send a reply; one that came too late is only logged, and the next order is waited for.

        Flower has a field for the seconds that the site computed; they are not told.
        """
        with no_object_id_recompute():
            reply.metadata.__dict__["_message_id"] = reply.object_id
            objects = get_all_nested_objects(reply)
            tree = get_object_tree(reply)
            data = {name: one.deflate() for name, one in objects.items()}
        try:
            wanted, session = send(reply, tree, 0.0)
            for name in wanted:
                push(run, session, name, data[name])
        except Exception as err:  # noqa: BLE001 - the border to Flower, whatever it raises
            log.warning("an answer could not be sent, and the round goes on without it: %s", err)


def _refuse(code: int, message: str | None = None, *_: object, **__: object) -> NoReturn:
    """Stand in for Flower's own, which ends the process seconds later whatever is done then."""
    raise ConnectionError(" ".join((message or f"exit code {code}").split()))
