"""Rounds of several sites in one process: what is exchanged, averaged, left out and taken up."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.encoders import read_card
from models.errors import DataError
from models.federated.bench import Bench
from models.federated.errors import ProtocolError, QuorumError
from models.federated.federation import Federation
from models.federated.joining import find_members, guess_kind
from models.federated.packing import pack, unpack
from models.federated.plan import Plan
from models.federated.privacy import FeaturePrivacy
from models.federated.protocol import answer_bytes, order_bytes
from models.federated.simulation import do_round, run
from models.federated.site import Site, make_bank
from models.ssl.bank import Bank
from models.ssl.fcl import Fcl
from models.training.method import Clock
from models.training.optimizers import build_optimizer
from models.training.schedule import learning_rate, set_learning_rate
from tests.models.federated.small import CPU, DEPTH, NAMES, make_archive, open_sites, small_plan

Weights = dict[str, Tensor]


def never() -> bool:
    return False


def document(archive: Path, plan: Plan, folder: Path, **changes: Any) -> dict[str, Any]:
    sites = [one.document() for one in find_members([str(archive)], None)]
    usual = {"device": "cpu", "clip": None, "noise": 0.0, "alone": False}
    return {"plan": plan.document(), "sites": sites, "folder": str(folder)} | usual | changes


def simulate(archive: Path, plan: Plan, folder: Path) -> tuple[Weights, list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    run(document(archive, plan, folder), lines.append, never)
    return Federation(plan, folder, Bench(plan, CPU).weights()).weights, lines


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_members_are_found_by_site_and_split(volumes: Path) -> None:
    found = find_members([str(volumes)], None)
    assert [one.name for one in found] == list(NAMES)
    assert found[0].slides == ("a0", "a1")
    assert guess_kind(found[0]) == "volumes"
    with pytest.raises(ValueError, match="no slides of the split 'test'"):
        find_members([str(volumes)], "test")
    with pytest.raises(ValueError, match="several archives have slides of the site 'a'"):
        find_members([str(volumes), str(volumes)], None)


def test_one_site_alone_learns_what_local_training_learns(volumes: Path, tmp_path: Path) -> None:
    plan = small_plan(rounds=3)
    bench, (site, *_) = open_sites(volumes, plan, tmp_path)
    federation = Federation(plan, tmp_path, bench.weights())
    while not federation.finished:
        do_round(federation, [site])

    local = Bench(plan, CPU)
    method, source = local.method, site.source
    assert isinstance(method, Fcl)
    settings, per_epoch = plan.training(source.batch), source.steps_per_epoch
    bank = make_bank(local, source, site.seed)
    for number in range(plan.rounds):
        method.hold(bank, [], seed=site.seed)
        optimizer = build_optimizer(method.train(), settings)
        for step in range(number * per_epoch, (number + 1) * per_epoch):
            (views,) = source.steps(step, step + 1)
            clock = Clock(step, plan.rounds * per_epoch, step // per_epoch, settings.epochs)
            set_learning_rate(optimizer, learning_rate(settings, step, per_epoch))
            prepared = method.begin_step([views], clock)
            method(views, prepared, 0, clock).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            method.end_step(prepared, clock)
        bank = make_bank(local, source, site.seed)
    assert same(federation.weights, local.weights())


@pytest.mark.parametrize("method", ["fcl", "rotnet", "simclr"])
def test_every_method_runs_repeats_and_leaves_an_encoder(
    volumes: Path, tmp_path: Path, method: Any
) -> None:
    plan = small_plan(method=method)
    first, lines = simulate(volumes, plan, tmp_path / "one")
    again, _ = simulate(volumes, plan, tmp_path / "two")
    start = Bench(plan, CPU).weights()
    assert same(first, again)
    assert not same(first, start)
    steps = [line for line in lines if line["kind"] == "step"]
    assert [line["step"] for line in steps] == [1, 2]
    assert all(line["metrics"]["sites"] == 3 for line in steps)
    card = read_card(tmp_path / "one" / "encoder.safetensors")
    assert card is not None
    assert (card.name, card.method) == (f"unet-{method}", method)
    assert f"{6 * DEPTH} patches of 3 sites" in card.data[-1]


def test_bytes_of_every_round_are_what_the_arithmetic_says(volumes: Path, tmp_path: Path) -> None:
    plan = small_plan(rounds=3)
    _, lines = simulate(volumes, plan, tmp_path)
    weights, entries = Bench(plan, CPU).weights(), 2 * DEPTH
    told = [line["metrics"] for line in lines if line["kind"] == "step"]
    assert told[0]["down_bytes"] == 3 * order_bytes(weights, [], 4)  # no bank is there yet
    for one in told[1:]:
        assert one["down_bytes"] == 3 * order_bytes(weights, [entries] * 2, 4)
    for one in told:
        assert one["up_bytes"] == 3 * answer_bytes(weights, entries, 4)
    moved = sum(t.numel() * t.element_size() for t in weights.values())
    assert answer_bytes(weights, entries, 4) == moved + entries * (4 * 2 + 2)


def test_baselines_exchange_weights_alone(volumes: Path, tmp_path: Path) -> None:
    plan = small_plan(method="rotnet")
    _, lines = simulate(volumes, plan, tmp_path)
    moved = 3 * sum(t.numel() * t.element_size() for t in Bench(plan, CPU).weights().values())
    told = [line["metrics"] for line in lines if line["kind"] == "step"]
    assert all(one["down_bytes"] == one["up_bytes"] == moved for one in told)


def test_alone_no_site_hears_of_another(volumes: Path, tmp_path: Path) -> None:
    plan = small_plan()
    ran = run(document(volumes, plan, tmp_path / "all", alone=True), lambda _: None, never)
    assert (ran["finished"], ran["steps"]) == (True, 6)
    for name in NAMES:
        bench, sites = open_sites(volumes, plan, tmp_path / "single" / name)
        (site,) = [one for one in sites if one.name == name]
        federation = Federation(plan, tmp_path / "single" / name, bench.weights())
        while not federation.finished:
            do_round(federation, [site])
        found = Federation(plan, tmp_path / "all" / "sites" / name, bench.weights())
        assert found.finished
        assert same(found.weights, federation.weights)
        assert (tmp_path / "all" / "sites" / name / "encoder.safetensors").exists()


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(volumes: Path, tmp_path: Path) -> None:
    plan = small_plan(rounds=4)
    whole, _ = simulate(volumes, plan, tmp_path / "whole")
    asked = iter([False, False, True])
    first = run(document(volumes, plan, tmp_path / "cut"), lambda _: None, lambda: next(asked))
    assert (first["finished"], first["step"]) == (False, 2)
    rest, lines = simulate(volumes, plan, tmp_path / "cut")
    assert [line["step"] for line in lines if line["kind"] == "step"] == [3, 4]
    assert same(whole, rest)
    journal = (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in journal]
    assert [line["step"] for line in steps if line["kind"] == "step"] == [1, 2, 3, 4]


WORKER = """
import json, sys
from models.federated import simulation, site
document = json.loads(sys.argv[1])
work = site.Site.work
def slow(self, message):
    answer = work(self, message)
    print(self.name, flush=True)
    import time; time.sleep(0.2)
    return answer
site.Site.work = slow
simulation.run(document, lambda line: None, lambda: False)
"""


def test_killed_in_the_middle_of_a_round_it_ends_with_equal_weights(
    volumes: Path, tmp_path: Path
) -> None:
    plan = small_plan(rounds=3)
    whole, _ = simulate(volumes, plan, tmp_path / "whole")
    given = json.dumps(document(volumes, plan, tmp_path / "killed"))
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, given], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(5):  # round 1 of 3 is half done: two of three sites have answered
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    states = sorted(path.name for path in (tmp_path / "killed").glob("state-*"))
    assert states == ["state-1.safetensors"]
    rest, lines = simulate(volumes, plan, tmp_path / "killed")
    assert [line["step"] for line in lines if line["kind"] == "step"] == [2, 3]
    assert same(whole, rest)


def test_a_damaged_state_is_passed_over(volumes: Path, tmp_path: Path) -> None:
    plan = small_plan(rounds=3)
    whole, _ = simulate(volumes, plan, tmp_path)
    last = tmp_path / "state-3.safetensors"
    last.write_bytes(last.read_bytes()[:-1])
    rest, lines = simulate(volumes, plan, tmp_path)
    assert [line["step"] for line in lines if line["kind"] == "step"] == [3]
    assert same(whole, rest)


class Faulty(Site):
    """A site whose answer is not what was asked for."""

    fault = ""

    def work(self, message: bytes) -> bytes:
        answer = super().work(message)
        if self.fault == "drop":
            raise ProtocolError("nothing came")
        document, tensors = unpack(answer)
        name = next(n for n in sorted(tensors) if n.endswith("weight"))
        if self.fault == "nan":
            tensors[name] = torch.full_like(tensors[name], torch.nan)
        if self.fault == "shape":
            tensors[name] = tensors[name][:1]
        if self.fault == "version":
            document["version"] = 99
        if self.fault == "name":
            document["site"] = "a"
        return pack(tensors, document) if self.fault != "noise" else b"noise"


FAULTS = {
    "drop": "nothing came",
    "nan": "NaN",
    "shape": "not torch.float32",
    "version": "protocol version 99",
    "name": "in the name of",
    "noise": "no message of ours",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_site_is_left_out_and_the_round_is_that_of_the_others(
    volumes: Path, tmp_path: Path, fault: str
) -> None:
    plan = small_plan(quorum=2)
    bench, sites = open_sites(volumes, plan, tmp_path / "faulty")
    sites[1].__class__ = Faulty
    sites[1].fault = fault  # type: ignore[attr-defined]
    federation = Federation(plan, tmp_path / "faulty", bench.weights())
    reports = [do_round(federation, sites)[0] for _ in range(2)]
    for report in reports:
        assert set(report.patches) == {"a", "c"}
        assert FAULTS[fault] in report.left_out["b"]
    assert set(federation.banks) == {"a", "c"}
    bench, sites = open_sites(volumes, plan, tmp_path / "good")
    without = Federation(plan, tmp_path / "good", bench.weights())
    for _ in range(2):
        do_round(without, [sites[0], sites[2]])
    assert same(federation.weights, without.weights)


def test_too_few_good_answers_end_the_round_and_change_nothing(
    volumes: Path, tmp_path: Path
) -> None:
    plan = small_plan(quorum=3)
    bench, sites = open_sites(volumes, plan, tmp_path)
    sites[1].__class__ = Faulty
    sites[1].fault = "nan"  # type: ignore[attr-defined]
    start = bench.weights()
    federation = Federation(plan, tmp_path, start)
    with pytest.raises(QuorumError, match="2 good answers, and 3 are needed; left out: b"):
        do_round(federation, sites)
    assert federation.round == 0
    assert same(federation.weights, start)


def test_a_site_refuses_an_order_of_another_plan_or_version(volumes: Path, tmp_path: Path) -> None:
    plan = small_plan()
    bench, (site, *_) = open_sites(volumes, plan, tmp_path)
    other = Federation(small_plan(batch=4), tmp_path, bench.weights())
    with pytest.raises(ProtocolError, match="another plan"):
        site.work(other.order("a"))
    document, tensors = unpack(Federation(plan, tmp_path, bench.weights()).order("a"))
    with pytest.raises(ProtocolError, match="protocol version 99"):
        site.work(pack(tensors, document | {"version": 99}))


def test_nothing_leaves_a_site_but_what_the_protocol_names(volumes: Path, tmp_path: Path) -> None:
    """Every message of a run is taken apart, and searched for what must not be in it."""
    plan = small_plan(rounds=3)
    bench, sites = open_sites(volumes, plan, tmp_path)
    messages: list[bytes] = []
    for site in sites:
        work = site.work
        site.work = lambda message, work=work: messages.append(work(message)) or messages[-1]  # type: ignore[method-assign, misc]
    federation = Federation(plan, tmp_path, bench.weights())
    while not federation.finished:
        do_round(federation, sites)
    assert len(messages) == 9
    shapes = {f"weights/{name}": t.shape for name, t in bench.weights().items()}
    for message in messages:
        document, tensors = unpack(message)
        assert set(document) == {"kind", "version", "run", "round", "site", "patches"}
        assert document["site"] in NAMES
        assert document["patches"] == 2 * DEPTH
        features, partition = tensors.pop("bank/features"), tensors.pop("bank/partition")
        assert (features.shape, features.dtype) == ((2 * DEPTH, 4), torch.float16)
        assert (partition.shape, partition.dtype) == ((2 * DEPTH,), torch.int16)
        assert {name: t.shape for name, t in tensors.items()} == shapes
        header = message[: len(message) - sum(t.nbytes for t in tensors.values())]
        assert not re.search(rb"\b[abc][01]\b", header)  # the volumes are called a0, a1, b0, ...
        for text in (b"nii", b"volumes.zarr", str(tmp_path).encode()):
            assert text not in message
        rows = [row.tobytes() for row in features.numpy()]
        assert list(zip(partition, rows, strict=True)) == sorted(zip(partition, rows, strict=True))


def test_features_are_clipped_before_they_leave_and_whole_at_home(
    volumes: Path, tmp_path: Path
) -> None:
    plan = small_plan()
    bench, (site, *_) = open_sites(volumes, plan, tmp_path, privacy=FeaturePrivacy(clip=0.25))
    federation = Federation(plan, tmp_path / "server", bench.weights())
    _, tensors = unpack(site.work(federation.order("a")))
    lengths = tensors["bank/features"].float().norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 0.25), atol=1e-3, rtol=0)
    _, kept = unpack((tmp_path / "a" / "bank-0.safetensors").read_bytes())
    torch.testing.assert_close(kept["features"].norm(dim=1), torch.ones(2 * DEPTH))


def test_noise_is_another_each_time(volumes: Path, tmp_path: Path) -> None:
    plan, sent = small_plan(), []
    for number in range(2):
        noisy = FeaturePrivacy(clip=1.0, noise=0.5)
        bench, (site, *_) = open_sites(volumes, plan, tmp_path / f"{number}", privacy=noisy)
        federation = Federation(plan, tmp_path / "server", bench.weights())
        sent.append(unpack(site.work(federation.order("a")))[1]["bank/features"])
    assert not torch.equal(*sent)


def test_a_bank_leaves_with_one_noise_however_often_its_round_is_asked_for(
    volumes: Path, tmp_path: Path
) -> None:
    noisy = FeaturePrivacy(clip=1.0, noise=0.5)
    bench, (site, *_) = open_sites(volumes, small_plan(), tmp_path, privacy=noisy)

    def sent(number: int) -> Tensor:
        federation = Federation(bench.plan, tmp_path / "server", bench.weights())
        federation.round = number
        return unpack(site.work(federation.order("a")))[1]["bank/features"]

    first, second = sent(0), sent(1)
    assert torch.equal(sent(0), first)
    assert torch.equal(sent(1), second)
    assert not torch.equal(first, second)
    sent(2)
    with pytest.raises(ProtocolError, match="round 0 is long over, the last was 2"):
        sent(0)
    assert torch.equal(sent(1), second)


def test_a_bank_of_another_width_is_refused_by_the_site(volumes: Path, tmp_path: Path) -> None:
    bench, (site, *_) = open_sites(volumes, small_plan(), tmp_path)
    federation = Federation(bench.plan, tmp_path / "server", bench.weights())
    federation.banks = {"b": Bank(torch.ones(2, 3) / 3**0.5, torch.zeros(2, dtype=torch.int64))}
    with pytest.raises(ProtocolError, match="entries of 4 numbers"):
        site.work(federation.order("a"))


def test_an_answer_larger_than_any_can_be_is_not_read(volumes: Path, tmp_path: Path) -> None:
    bench, (site, *_) = open_sites(volumes, small_plan(), tmp_path)
    federation = Federation(bench.plan, tmp_path / "server", bench.weights())
    document, tensors = unpack(site.work(federation.order("a")))
    large = pack(tensors | {"weights/more": torch.zeros(1 << 19)}, document)
    with pytest.raises(ProtocolError, match=r"bytes, and .* are the most"):
        federation.read("a", large)


def test_sites_whose_names_are_no_folders_are_refused(tmp_path: Path) -> None:
    archive = make_archive(tmp_path, ("..", "b"), 1)
    with pytest.raises(DataError, match=r"the site '\.\.' cannot be the name of a folder"):
        find_members([str(archive)], None)


def test_positions_that_can_be_told_are_learned(volumes: Path, tmp_path: Path) -> None:
    plan = small_plan(rounds=24, settings={"features": 16})
    _, lines = simulate(volumes, plan, tmp_path)
    told = [line for line in lines if line["kind"] == "step"]
    ignorant = 2 * math.log(1 + 0.75 * 2 * DEPTH)  # all features alike: both terms
    assert told[-1]["loss"] < 0.9 * ignorant
    assert told[-1]["metrics"]["spread"] > 0.1


def test_features_that_become_alike_are_told_of_once(
    volumes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench, (site, *_) = open_sites(volumes, small_plan(), tmp_path)
    method: Any = bench.method
    for projector in (method.projector, method.twin[1]):
        for parameter in projector.parameters():
            parameter.requires_grad_(requires_grad=False).fill_(1)
    federation = Federation(bench.plan, tmp_path / "server", bench.weights())
    for number in range(2):
        federation.round = number
        site.work(federation.order("a"))
    assert [text.split("(")[0] for text in caplog.messages] == [
        "round 0: the features of all patches of a are nearly the same "
    ]


def test_a_round_takes_little_beyond_the_sites_own_work(volumes: Path, tmp_path: Path) -> None:
    """No figure of speed, only that the parts are told and add up; tests.benchmarks measures."""
    began = time.perf_counter()
    _, lines = simulate(volumes, small_plan(), tmp_path)
    spent = time.perf_counter() - began
    for line in lines[1:]:
        told = line["metrics"]
        parts = told["training_seconds"] + told["bank_seconds"]
        assert 0 < parts < told["round_seconds"] < spent
        assert told["overhead"] == pytest.approx(told["round_seconds"] / parts - 1, abs=1e-3)
