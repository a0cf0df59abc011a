"""All sites in one process: round by round, and on from the last committed round."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from models.encoders import EncoderCard, save_checkpoint
from models.errors import NumericsError
from models.federated.averaging import State, average
from models.federated.bench import Bench
from models.federated.errors import ProtocolError
from models.federated.federation import Federation, RoundReport
from models.federated.joining import Members, open_site
from models.federated.plan import Plan
from models.federated.privacy import FeaturePrivacy
from models.federated.site import Site
from models.mil.device import choose_device
from models.training.fabric import device_name
from models.training.journal import Journal
from models.training.schedule import learning_rate

ENCODER = "encoder.safetensors"
"""File of the averaged encoder in the folder of a run."""
SITES = "sites"
"""Folder of what sites keep for themselves."""

Line = dict[str, Any]
Tell = Callable[[Line], None]
Stop = Callable[[], bool]


def run(document: dict[str, Any], tell: Tell, stop: Stop) -> dict[str, Any]:
    """Pretrain federatedly, or go on with it; what `workflows.training` calls.

    Args:
        document: `plan`, `sites`, `folder`, `device`, `clip`, `noise` and `alone`: no site hears
            of another (the baseline of local training).
        tell: takes lines of progress.
        stop: asks whether to stop, after a round.

    Returns:
        JSON values: whether it `finished`, `step` and `steps` in rounds, `card`, `data`, `rounds`.

    Raises:
        DataError: the patches do not fit the plan.
        QuorumError: too few sites gave a good answer.
    """
    plan, folder = Plan.of(document["plan"]), Path(document["folder"])
    members = [Members.of(one) for one in document["sites"]]
    bench = Bench(plan, choose_device(document["device"]))
    privacy = FeaturePrivacy(document["clip"], document["noise"])
    sites = [open_site(one, bench, folder / SITES / one.name, privacy) for one in members]
    groups = [[site] for site in sites] if document["alone"] else [sites]
    return Simulation(bench, groups, folder, tell).run(stop)


class Simulation:
    """Federations of one process, one after the other: a single one, or one for each site.

    Args:
        bench: the networks.
        groups: the sites of each federation.
        folder: of the run.
        tell: takes lines.
    """

    def __init__(
        self, bench: Bench, groups: Sequence[Sequence[Site]], folder: Path, tell: Tell
    ) -> None:
        self.bench, self.groups, self.folder, self._tell = bench, groups, folder, tell
        start, alone = bench.weights(), len(groups) > 1
        self.federations = [
            Federation(bench.plan, folder / SITES / group[0].name if alone else folder, start)
            for group in groups
        ]

    def run(self, stop: Stop) -> dict[str, Any]:
        """Do the rounds that are left, and write the encoder."""
        began, rounds = time.monotonic(), self.bench.plan.rounds * len(self.groups)
        with Journal(self.folder, self._done, tensorboard=False) as journal:
            first = {"kind": "start", "step": self._done, "steps": rounds, "epochs": rounds}
            self._write(journal, first | {"batch": self.bench.plan.batch})
            for federation, group in zip(self.federations, self.groups, strict=True):
                while not federation.finished and not stop():
                    self._write(journal, self._round(federation, group))
                    federation.commit()
        finished = all(one.finished for one in self.federations)
        card = self._finish() if finished else None
        return {
            "finished": finished,
            "step": self._done,
            "steps": rounds,
            "seconds": round(time.monotonic() - began, 3),
            "training": {"epochs": rounds, "batch": self.bench.plan.batch},
            "device": device_name(self.bench.device),
            "processes": 1,
            "card": None if card is None else card.document(),
            "data": self._data(),
        }

    @property
    def _done(self) -> int:
        """Rounds that are committed, of all federations."""
        return sum(one.round for one in self.federations)

    def _write(self, journal: Journal, line: Line) -> None:
        journal.write(line)
        self._tell(line)

    def _round(self, federation: Federation, group: Sequence[Site]) -> Line:
        began = time.perf_counter()
        report, joined = do_round(federation, group)
        return self._line(report, joined, time.perf_counter() - began)

    def _line(self, report: RoundReport, joined: Sequence[Site], seconds: float) -> Line:
        """Describe a round; `step` counts all federations' rounds, this one's included."""
        plan, works = self.bench.plan, [site.last for site in joined]
        training = sum(work.seconds["training"] for work in works)
        bank = sum(work.seconds.get("bank", 0.0) for work in works)
        spread = [work.spread for work in works if work.spread is not None]
        patches = sum(report.patches.values())
        return {
            "kind": "step",
            "step": self._done,
            "epoch": report.number,
            "loss": fmean(work.loss for work in works),
            "lr": learning_rate(plan.training(plan.batch), report.number * plan.epochs, 1),
            "grad_norm": 0.0,
            "patches_per_s": round(patches * plan.epochs / max(training, 1e-9), 2),
            "waiting": 0.0,
            "metrics": {
                "sites": len(joined),
                "spread": round(fmean(spread), 6) if spread else None,
                "down_bytes": report.down_bytes,
                "up_bytes": report.up_bytes,
                "header_bytes": report.header_bytes,
                "training_seconds": round(training, 6),
                "bank_seconds": round(bank, 6),
                "round_seconds": round(seconds, 6),
                "overhead": round(seconds / max(training + bank, 1e-9) - 1, 6),
            },
            "left_out": report.left_out,
        }

    def _finish(self) -> EncoderCard:
        """Write the encoders: of each federation, and the mean of them."""
        if len(self.groups) > 1:
            for federation, group in zip(self.federations, self.groups, strict=True):
                seen = {group[0].name: group[0].source.patches}
                save_encoder(self.bench, federation.weights, federation.folder, seen)
        counts = [sum(site.source.patches for site in group) for group in self.groups]
        mean = average([one.weights for one in self.federations], counts)
        return save_encoder(self.bench, mean, self.folder, self._data()["sites"])

    @property
    def _sites(self) -> list[Site]:
        return [site for group in self.groups for site in group]

    def _data(self) -> dict[str, Any]:
        return {
            "patches": sum(site.source.patches for site in self._sites),
            "sites": {site.name: site.source.patches for site in self._sites},
        }


def do_round(federation: Federation, group: Sequence[Site]) -> tuple[RoundReport, list[Site]]:
    """Do a round, not yet committed; gives what it was and the sites that count.

    Raises:
        QuorumError: too few sites gave a good answer.
    """
    answers, left_out, joined = {}, {}, []
    for site in group:
        try:
            answers[site.name] = federation.read(site.name, site.work(federation.order(site.name)))
            joined.append(site)
        except (ProtocolError, NumericsError) as err:
            left_out[site.name] = str(err)
    return federation.close(answers, left_out), joined


def save_encoder(
    bench: Bench, weights: State, folder: Path, sites: Mapping[str, int]
) -> EncoderCard:
    """Write the encoder of a model, with a card that says what it has seen: patches by site."""
    plan = bench.plan
    bench.load(weights)
    seen = (
        f"{plan.method}: {sum(sites.values()):,} patches of {len(sites)} sites, "
        f"{plan.rounds} rounds, seed {plan.seed}"
    )
    changed = bench.card.model_copy(
        update={
            "name": f"{bench.card.name}-{plan.method}",
            "method": plan.method,
            "data": (*bench.card.data, seen),
        }
    )
    return save_checkpoint(folder / ENCODER, bench.method.encoder, changed)
