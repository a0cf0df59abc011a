"""The ServerApp and the ClientApp with a Grid in this process: faults, quorum, what is said."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("flwr", reason="Flower is not installed: pip install 'microtome[federated]'")

from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from models.errors import NumericsError
from models.federated.bench import Bench
from models.federated.errors import ProtocolError, QuorumError
from models.federated.federation import Federation, RoundReport
from models.federated.packing import pack, unpack
from models.federated.simulation import do_round
from tests.models.federated.small import CPU, NAMES, open_sites, small_plan
from tiling.errors import CorruptStoreError
from workflows.federating.apps import Patience, bytes_of, client_app, server_app

Work = Callable[[bytes], bytes]


class LocalGrid:
    """Hands messages to ClientApps at once; those that stall never answer."""

    def __init__(self, apps: dict[int, Any], stalled: Iterable[int] = ()) -> None:
        self.apps, self.stalled = apps, set(stalled)
        self.sent: list[Message] = []
        self.answered: list[Message] = []

    def get_node_ids(self) -> list[int]:
        return list(self.apps)

    def send_and_receive(self, messages: list[Message], *, timeout: float) -> list[Message]:
        del timeout
        found = []
        for number, message in enumerate(messages):
            message.metadata.__dict__["_message_id"] = f"{len(self.sent)}-{number}"
            self.sent.append(message)
            node = message.metadata.dst_node_id
            if node not in self.stalled:
                context = Context(1, node, {}, RecordDict(), {})
                found.append(self.apps[node](message, context))
        self.answered += found
        return found


@pytest.fixture(autouse=True)
def identity() -> None:
    TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, 1


PATIENCE = Patience(sites=3, join_s=0.1, round_s=5.0, attempts=2)


def run(
    archive: Path, folder: Path, *, quorum: int = 2, changed: dict[str, Any] | None = None
) -> tuple[Federation, LocalGrid, list[RoundReport]]:
    """All rounds; `changed` gives sites another work, or None for one that stalls."""
    plan = small_plan(quorum=quorum)
    bench, sites = open_sites(archive, plan, folder / "sites")
    apps, stalled = {}, []
    for node, site in enumerate(sites, 1):
        work: Any = site.work
        if site.name in (changed or {}):
            make = (changed or {})[site.name]
            stalled += [node] if make is None else []
            work = site.work if make is None else make(site.work)
        apps[node] = client_app(work, lambda: None)
    federation = Federation(plan, folder / "server", bench.weights())
    grid, reports = LocalGrid(apps, stalled), list[RoundReport]()
    app = server_app(
        federation, dict(enumerate(NAMES, 1)), PATIENCE, lambda report, _: reports.append(report)
    )
    app(grid=grid, context=Context(1, 0, {}, RecordDict(), {}))  # type: ignore[arg-type]
    return federation, grid, reports


def simulated(archive: Path, folder: Path, names: Iterable[str]) -> Federation:
    plan = small_plan(quorum=2)
    bench, sites = open_sites(archive, plan, folder / "sites")
    federation = Federation(plan, folder / "server", bench.weights())
    while not federation.finished:
        do_round(federation, [site for site in sites if site.name in set(names)])
    return federation


def same(one: Federation, other: Federation) -> bool:
    return all(torch.equal(one.weights[name], other.weights[name]) for name in other.weights)


def test_rounds_over_flower_are_those_of_the_simulation(volumes: Path, tmp_path: Path) -> None:
    found, _, reports = run(volumes, tmp_path / "flower")
    assert [set(report.patches) for report in reports] == [set(NAMES)] * 2
    assert same(found, simulated(volumes, tmp_path / "here", NAMES))
    assert Federation(found.plan, found.folder, found.weights).finished  # committed


def nan(work: Work) -> Work:
    def changed(message: bytes) -> bytes:
        document, tensors = unpack(work(message))
        name = next(n for n in sorted(tensors) if n.endswith("weight"))
        return pack(tensors | {name: torch.full_like(tensors[name], torch.nan)}, document)

    return changed


def shape(work: Work) -> Work:
    def changed(message: bytes) -> bytes:
        document, tensors = unpack(work(message))
        name = next(n for n in sorted(tensors) if n.endswith("weight"))
        return pack(tensors | {name: tensors[name][:1]}, document)

    return changed


def version(work: Work) -> Work:
    def changed(message: bytes) -> bytes:
        document, tensors = unpack(work(message))
        return pack(tensors, document | {"version": 99})

    return changed


def raising(kind: type[Exception]) -> Callable[[Work], Work]:
    def broken(work: Work) -> Work:
        def changed(message: bytes) -> bytes:
            raise kind("the loss of /data/patient-7.svs is nan")

        return changed

    return broken


def nonsense(work: Work) -> Work:
    def changed(message: bytes) -> bytes:
        document, tensors = unpack(work(message))
        return pack(tensors, document | {"round": "x"})

    return changed


FAULTS: dict[str, tuple[Any, str]] = {
    "stalls": (None, "no answer within 5 s"),
    "sends NaN": (nan, "holds NaN"),
    "sends another shape": (shape, "not torch.float32"),
    "is of another version": (version, "protocol version 99"),
    "sends another thing": (nonsense, "the round 'x'"),
    "fails": (raising(NumericsError), "answered with an error: NumericsError"),
    "cannot read": (raising(CorruptStoreError), "answered with an error: CorruptStoreError"),
    "has no memory": (raising(RuntimeError), "answered with an error: RuntimeError"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_site_is_left_out_and_the_round_goes_on(
    volumes: Path, tmp_path: Path, fault: str
) -> None:
    make, told = FAULTS[fault]
    found, grid, reports = run(volumes, tmp_path / "flower", changed={"b": make})
    for report in reports:
        assert set(report.patches) == {"a", "c"}
        assert told in report.left_out["b"]
    assert same(found, simulated(volumes, tmp_path / "here", ["a", "c"]))
    assert b"patient-7" not in repr([m.error for m in grid.answered if m.has_error()]).encode()


def test_without_a_quorum_the_round_is_tried_again_and_then_given_up(
    volumes: Path, tmp_path: Path
) -> None:
    with pytest.raises(QuorumError, match="2 good answers, and 3 are needed"):
        run(volumes, tmp_path, quorum=3, changed={"b": None})
    assert not list((tmp_path / "server").glob("state-*"))


def test_nothing_is_in_a_message_but_our_bytes(volumes: Path, tmp_path: Path) -> None:
    _, grid, _ = run(volumes, tmp_path)
    trained = [m for m in grid.answered if m.metadata.message_type == MessageType.TRAIN]
    assert len(trained) == 6
    for message in trained:
        document, tensors = unpack(bytes_of(message))
        assert set(document) == {"kind", "version", "run", "round", "site", "patches"}
        assert {name.split("/")[0] for name in tensors} == {"weights", "bank"}
    over = [m for m in grid.answered if m.metadata.message_type != MessageType.TRAIN]
    assert len(over) == 3
    assert all(not len(message.content) for message in over)


def test_a_message_with_more_is_refused() -> None:
    record = ConfigRecord({"message": b"x"})
    for content in (
        RecordDict(),
        RecordDict({"microtome": ConfigRecord({"message": b"x", "patient": "p"})}),
        RecordDict({"microtome": record, "other": record}),
        RecordDict({"microtome": ConfigRecord({"message": "text"})}),
    ):
        message = Message(content, 1, MessageType.TRAIN)
        with pytest.raises(ProtocolError, match="something else"):
            bytes_of(message)


def test_the_site_leaves_when_it_is_told_that_the_run_is_over() -> None:
    left: list[bool] = []
    app = client_app(lambda message: message, lambda: left.append(True))
    message = Message(RecordDict(), 1, MessageType.QUERY)
    message.metadata.__dict__["_message_id"] = "m"
    app(message, Context(1, 1, {}, RecordDict(), {}))
    assert left == [True]


def test_a_bench_is_the_same_in_every_process() -> None:
    plan = small_plan()
    first, second = Bench(plan, CPU).weights(), Bench(plan, CPU).weights()
    assert all(torch.equal(first[name], second[name]) for name in first)
