"""The ServerApp and the ClientApp: Flower's messages around the orders and answers of ours."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flwr.app import ConfigRecord, Context, Error, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from models.federated.errors import ProtocolError, QuorumError
from models.federated.federation import Federation, RoundReport
from models.federated.protocol import Answer

log = logging.getLogger(__name__)

RECORD, FIELD = "microtome", "message"
"""Where our bytes are in a message; it has nothing else."""
REFUSED = 1
"""Code of an error that a site answers with; its reason is the kind of error, not its text, which
may name files."""
POLL_S = 0.5
FAREWELL_S = 20.0

Tell = Callable[[RoundReport, float], None]


@dataclass(frozen=True)
class Patience:
    """How long the server waits.

    Attributes:
        sites: for as many to be there before the first round.
        join_s: for them to come, after which those who are there begin.
        round_s: for the answers of a round.
        attempts: at a round that too few answer.
    """

    sites: int
    join_s: float
    round_s: float
    attempts: int


def server_app(
    federation: Federation, sites: Mapping[int, str], patience: Patience, tell: Tell
) -> ServerApp:
    """Give the ServerApp that does all rounds that are left, each committed before the next.

    Args:
        federation: from its last committed round on.
        sites: name of each node's site, by number.
        patience: of the server.
        tell: takes each round and its seconds.
    """
    app = ServerApp()

    def main(grid: Grid, context: Context) -> None:
        del context
        _await_sites(grid, sites, patience)
        failed = 0
        while not federation.finished:
            began = time.monotonic()
            try:
                report = _round(grid, federation, sites, patience)
            except QuorumError as err:
                failed += 1
                if failed >= patience.attempts:
                    raise
                log.warning("%s; it is tried again", err)
                _await_sites(grid, sites, patience)
                continue
            failed = 0
            tell(report, time.monotonic() - began)
            federation.commit()
        _farewell(grid)

    app.main()(main)
    return app


def client_app(work: Callable[[bytes], bytes], leave: Callable[[], None]) -> ClientApp:
    """Give the ClientApp of a site.

    Args:
        work: does a round.
        leave: is called when the run is over.
    """
    app = ClientApp()

    def train(message: Message, context: Context) -> Message:
        del context
        try:
            answer = work(bytes_of(message))
        except Exception as err:  # the border of a round: whatever it raises, the server is told
            log.exception("this round is left out")
            return Message(Error(REFUSED, type(err).__name__), reply_to=message)
        return Message(_packed(answer), reply_to=message)

    def over(message: Message, context: Context) -> Message:
        del context
        leave()
        return Message(RecordDict(), reply_to=message)

    app.train()(train)
    app.query()(over)
    return app


def bytes_of(message: Message) -> bytes:
    """Take our bytes out of a message.

    Raises:
        ProtocolError: it has none, or more than them.
    """
    content = message.content
    record: Any = content.config_records.get(RECORD) if len(content) == 1 else None
    if record is None or set(record) != {FIELD} or not isinstance(record[FIELD], bytes):
        raise ProtocolError("a message that holds something else than the protocol names")
    found: bytes = record[FIELD]
    return found


def _packed(data: bytes) -> RecordDict:
    return RecordDict({RECORD: ConfigRecord({FIELD: data})})


def _await_sites(grid: Grid, sites: Mapping[int, str], patience: Patience) -> None:
    """Wait until enough sites are there; who had a key once and has none now is no site."""
    until = time.monotonic() + patience.join_s
    while len(sites.keys() & set(grid.get_node_ids())) < patience.sites:
        if time.monotonic() > until:
            return
        time.sleep(POLL_S)


def _round(
    grid: Grid, federation: Federation, sites: Mapping[int, str], patience: Patience
) -> RoundReport:
    there = [node for node in grid.get_node_ids() if node in sites]
    left_out = {name: "is not there" for node, name in sites.items() if node not in there}
    orders = [
        Message(
            _packed(federation.order(sites[node])),
            node,
            MessageType.TRAIN,
            ttl=patience.round_s,
            group_id=str(federation.round),
        )
        for node in there
    ]
    replies = list(grid.send_and_receive(orders, timeout=patience.round_s)) if orders else []
    answers: dict[str, Answer] = {}
    for reply in replies:
        site = sites.get(reply.metadata.src_node_id)
        if site is None:
            continue
        try:
            answers[site] = _read(federation, site, reply)
        except ProtocolError as err:
            left_out[site] = str(err)
    silent = {sites[node] for node in there} - set(answers) - set(left_out)
    left_out |= dict.fromkeys(silent, f"no answer within {patience.round_s:g} s")
    return federation.close(answers, left_out)


def _read(federation: Federation, site: str, reply: Message) -> Answer:
    if reply.has_error():
        raise ProtocolError(f"it answered with an error: {reply.error.reason}")
    return federation.read(site, bytes_of(reply))


def _farewell(grid: Grid) -> None:
    """Tell all sites that the run is over; whoever does not hear it waits for another."""
    words = [
        Message(RecordDict(), node, MessageType.QUERY, ttl=FAREWELL_S)
        for node in grid.get_node_ids()
    ]
    if words:
        list(grid.send_and_receive(words, timeout=FAREWELL_S))
