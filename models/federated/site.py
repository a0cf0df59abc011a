"""One site: what it does with an order of the server, and what it keeps for itself."""

import logging
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.errors import NumericsError
from models.federated.bench import Bench
from models.federated.checking import check_bank
from models.federated.errors import ProtocolError
from models.federated.packing import read_sealed, write_sealed
from models.federated.plan import Plan
from models.federated.privacy import FeaturePrivacy
from models.federated.protocol import Answer, Order
from models.federated.sources import Source
from models.probe.health import measure_spread
from models.ssl.bank import Bank, balanced_rows
from models.ssl.fcl import Fcl
from models.training.guard import LEAST_SPREAD
from models.training.method import Clock
from models.training.optimizers import build_optimizer
from models.training.schedule import learning_rate, set_learning_rate
from tiling.epochs import epoch_generator

CHOICE_STREAM, STEP_STREAM = 13, 19
"""Set these draws apart from those of orders and views, which have the same seed."""
KEPT = 2
"""Banks of earlier rounds that a site keeps: a round may be done once more."""
SENT = "sent/"
"""Prefix of the bank as it left, beside the whole one."""

log = logging.getLogger(__name__)


@dataclass
class Work:
    """What a round was at a site, for the site's own eyes; nothing of it is sent.

    Attributes:
        loss: mean over the steps.
        spread: of the bank's features, 1 at best and 0 where all are the same; None without a bank.
        seconds: of training, of making the bank, and of all.
    """

    loss: float = 0.0
    spread: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)


class Site:
    """Trains on the patches of one site, and says of them what the protocol names.

    Args:
        name: of the site.
        source: of its views.
        bench: the networks; several sites of one process share it.
        folder: where the site keeps its own bank between rounds.
        privacy: what is done to features before they leave.

    Attributes:
        last: what the last round was.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        bench: Bench,
        folder: Path,
        privacy: FeaturePrivacy | None = None,
    ) -> None:
        self.name, self.source, self.bench, self.folder = name, source, bench, folder
        self.privacy = privacy or FeaturePrivacy()
        self.seed = site_seed(bench.plan.seed, name)
        self.last = Work()
        self._alike = False

    def work(self, message: bytes) -> bytes:
        """Do a round; gives the answer.

        Raises:
            ProtocolError: the order is not one that this site can follow.
            NumericsError: the loss is not finite.
        """
        began = time.perf_counter()
        order = Order.decode(message)
        if Plan.of(order.plan) != self.bench.asked:
            raise ProtocolError("the order is of another plan than this site began with")
        self._require_recent(order)
        self.bench.load(order.weights)
        self.last = Work()
        if isinstance(self.bench.method, Fcl):
            own = self._recall(order) or self._timed_bank()
            banks = [order.banks[site] for site in sorted(order.banks)]
            known = self.bench.method.settings
            for one in banks:
                check_bank(one, features=known.features, entries=known.entries)
            self.bench.method.hold(own, banks, seed=self.seed)
        self._train(order.round)
        bank = self._released(order) if isinstance(self.bench.method, Fcl) else None
        answer = Answer(
            order.run, order.round, self.name, self.source.patches, self.bench.weights(), bank
        ).encode()
        self.last.seconds["all"] = time.perf_counter() - began
        return answer

    def _train(self, number: int) -> None:
        """Do the local passes of a round; the optimiser begins anew (our choice)."""
        began = time.perf_counter()
        plan, source, method = self.bench.plan, self.source, self.bench.method.train()
        settings, per_epoch = plan.training(source.batch), source.steps_per_epoch
        optimizer = build_optimizer(method, settings)
        per_round = plan.epochs * per_epoch
        first, losses = number * per_round, []
        with torch.random.fork_rng(_cuda(self.bench.device)):
            for step, views in enumerate(source.steps(first, first + per_round), first):
                clock = Clock(step, plan.rounds * per_round, step // per_epoch, settings.epochs)
                torch.manual_seed(_draw(self.seed, STEP_STREAM, step))
                set_learning_rate(optimizer, learning_rate(settings, step, per_epoch))
                with torch.no_grad():
                    prepared = method.begin_step([views], clock)
                found = method(views, prepared, 0, clock)
                found.loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                with torch.no_grad():
                    method.end_step(prepared, clock)
                losses.append(found.loss.detach())
        self.last.loss = float(torch.stack(losses).mean())
        if not torch.isfinite(torch.tensor(self.last.loss)):
            raise NumericsError(
                f"the loss of {self.name} is {self.last.loss} in round {number}; use a lower --lr"
            )
        self.last.seconds["training"] = time.perf_counter() - began

    def _timed_bank(self) -> Bank:
        began = time.perf_counter()
        bank = make_bank(self.bench, self.source, self.seed)
        spent = self.last.seconds.get("bank", 0.0)
        self.last.seconds["bank"] = spent + time.perf_counter() - began
        return bank

    def _require_recent(self, order: Order) -> None:
        """Refuse a round whose bank left with noise, and is not kept any more.

        Raises:
            ProtocolError: it would leave again with other noise, which could be averaged away.
        """
        if not self.privacy.noise:
            return
        kept = self._kept(order)
        newest = max(kept, default=0)
        if order.round < newest and order.round not in kept:
            raise ProtocolError(f"round {order.round} is long over, the last was {newest}")

    def _released(self, order: Order) -> Bank:
        """Make the bank of a round, and keep it; gives it as it may leave.

        With noise, a round that is asked for again has the very bank that left before.
        """
        bank = self._timed_bank()
        self._look(bank, order.round)
        before = self._read(order, order.round) if self.privacy.noise else None
        sent = self.privacy.guard(bank) if before is None else _take(before, SENT)
        tensors = bank._asdict() | {f"{SENT}{name}": one for name, one in sent._asdict().items()}
        write_sealed(self._path(order.round), tensors, {"run": order.run})
        newest = max(self._kept(order)) if self.privacy.noise else order.round
        for path in self.folder.glob("bank-*.safetensors"):
            if not order.round - KEPT < _number(path) <= newest:
                path.unlink()
        return sent

    def _look(self, bank: Bank, number: int) -> None:
        """Say once where features have become alike: nothing is learned from them any more."""
        self.last.spread = measure_spread(bank.features.numpy()).std_of_best
        before, self._alike = self._alike, self.last.spread < LEAST_SPREAD
        if self._alike and not before:
            log.warning(
                "round %d: the features of all patches of %s are nearly the same (spread %.3g of "
                "1 at best); a lower --lr or a wider network may keep them apart",
                number,
                self.name,
                self.last.spread,
            )

    def _path(self, number: int) -> Path:
        return self.folder / f"bank-{number}.safetensors"

    def _recall(self, order: Order) -> Bank | None:
        """Give the bank of the round before, if this site took part in it."""
        found = self._read(order, order.round - 1)
        return None if found is None else _take(found, "")

    def _read(self, order: Order, number: int) -> dict[str, Tensor] | None:
        """Read what is kept of a round of this run."""
        path = self._path(number)
        if not path.exists():
            return None
        try:
            document, tensors = read_sealed(path)
        except ProtocolError:
            return None  # left by a kill or a failure of the disk: the bank is made anew
        return tensors if document.get("run") == order.run else None

    def _kept(self, order: Order) -> list[int]:
        """Give the rounds of this run whose banks are kept."""
        numbers = [_number(path) for path in self.folder.glob("bank-*.safetensors")]
        return [number for number in numbers if self._read(order, number) is not None]


def _take(tensors: Mapping[str, Tensor], prefix: str) -> Bank:
    return Bank(tensors[f"{prefix}features"], tensors[f"{prefix}partition"])


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("bank-"))


@torch.no_grad()
def make_bank(bench: Bench, source: Source, seed: int) -> Bank:
    """Compute a bank anew: the twin's features of plain images, in evaluation mode (our choice)."""
    method = bench.method
    if not isinstance(method, Fcl):
        raise TypeError(f"{type(method).__name__} has no bank")
    rng = epoch_generator(seed + (CHOICE_STREAM << 32), 0)
    rows = balanced_rows(source.partition, method.settings.entries, rng)
    method.eval()
    found = [method.embed(images).cpu() for images in source.plain(rows)]
    return Bank(torch.cat(found), torch.from_numpy(source.partition[rows]))


def site_seed(seed: int, name: str) -> int:
    """Give a site its own seed, by its name, so that it does not matter who else takes part."""
    drawn = np.random.SeedSequence((seed, zlib.crc32(name.encode()))).generate_state(1, np.uint32)
    return int(drawn[0])


def _draw(seed: int, stream: int, number: int) -> int:
    return int(epoch_generator(seed + (stream << 32), number).integers(2**63))


def _cuda(device: torch.device) -> Sequence[torch.device]:
    return [device] if device.type == "cuda" else []
