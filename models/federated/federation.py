"""The server's side of a run: orders, answers, the average, and rounds that are committed."""

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from models.federated.averaging import State, average
from models.federated.checking import check_answer, check_bank
from models.federated.errors import ProtocolError, QuorumError
from models.federated.packing import read_sealed, write_sealed
from models.federated.plan import Plan
from models.federated.protocol import Answer, Order, answer_bytes, message_payload
from models.ssl.bank import Bank
from models.ssl.fcl import FclSettings

STATE = re.compile(r"state-(\d+)\.safetensors")
KEPT = 2
"""States of rounds that stay."""
HEADER_BYTES = 1 << 20
"""Room for all but the tensors in an answer: names and shapes."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoundReport:
    """What a round was, as the server sees it.

    Attributes:
        number: of the round, from 0.
        patches: of the sites whose answers count, by name.
        left_out: why others do not, by name.
        down_bytes: payload of the orders: weights and banks.
        up_bytes: payload of the answers that came.
        header_bytes: all else of these messages: names, shapes, the plan.
    """

    number: int
    patches: dict[str, int]
    left_out: dict[str, str]
    down_bytes: int
    up_bytes: int
    header_bytes: int

    def document(self) -> dict[str, Any]:
        """Give JSON values."""
        return asdict(self)


@dataclass
class Traffic:
    """Bytes of a round's messages."""

    down: int = 0
    up: int = 0
    header: int = 0


class Federation:
    """A run, from its last committed round on.

    Args:
        plan: of the run.
        folder: where rounds are committed.
        weights: that the run begins with.

    Attributes:
        round: the next one; as many are committed.
        weights: of the averaged model.
        banks: of the sites whose last answer counted.
    """

    def __init__(self, plan: Plan, folder: Path, weights: State) -> None:
        self.plan, self.folder = plan, folder
        self.run = plan.identity
        self.round = 0
        self.weights: dict[str, Tensor] = dict(weights)
        self.banks: dict[str, Bank] = {}
        self._traffic = Traffic()
        self._resume()

    @property
    def finished(self) -> bool:
        """All rounds are committed."""
        return self.round >= self.plan.rounds

    def order(self, site: str) -> bytes:
        """Give the order of this round for a site: the average and the banks of all others."""
        banks = {name: bank for name, bank in self.banks.items() if name != site}
        order = Order(self.run, self.round, self.plan.document(), self.weights, banks)
        message = order.encode()
        payload = message_payload(message)
        self._traffic.down += payload
        self._traffic.header += len(message) - payload
        return message

    def read(self, site: str | None, message: bytes) -> Answer:
        """Read an answer, and check all of it.

        Args:
            site: that was asked; None where only the answer says who it is.
            message: that came.

        Raises:
            ProtocolError: it must not count.
        """
        most = answer_bytes(self.weights, self._entries, self._features or 0) + HEADER_BYTES
        if len(message) > most:
            raise ProtocolError(f"an answer of {len(message):,} bytes, and {most:,} are the most")
        answer = Answer.decode(message)
        payload = message_payload(message)
        self._traffic.up += payload
        self._traffic.header += len(message) - payload
        if site is not None and answer.site != site:
            raise ProtocolError(f"an answer of {answer.site!r} in the name of {site!r}")
        check_answer(answer, run=self.run, number=self.round, weights=self.weights)
        check_bank(answer.bank, features=self._features, entries=self._entries)
        return answer

    def close(self, answers: Mapping[str, Answer], left_out: Mapping[str, str]) -> RoundReport:
        """Average the answers of a round; `commit` makes it last.

        Args:
            answers: that count, by site.
            left_out: why others do not.

        Raises:
            QuorumError: too few count; the round can be done again.
        """
        traffic, self._traffic = self._traffic, Traffic()
        for site, reason in left_out.items():
            log.warning("round %d goes on without %s: %s", self.round, site, reason)
        if len(answers) < self.plan.quorum:
            raise QuorumError(
                f"round {self.round}: {len(answers)} good answers, and {self.plan.quorum} are "
                f"needed; left out: {_listed(left_out)}"
            )
        order = sorted(answers)
        counts = [answers[site].patches for site in order]
        self.weights = average([answers[site].weights for site in order], counts)
        self.banks = {site: bank for site in order if (bank := answers[site].bank) is not None}
        report = RoundReport(
            self.round,
            dict(zip(order, counts, strict=True)),
            dict(left_out),
            traffic.down,
            traffic.up,
            traffic.header,
        )
        self.round += 1
        return report

    def commit(self) -> None:
        """Make the last round last: whoever is killed now goes on after it."""
        sites = sorted(self.banks)
        tensors = {f"weights/{name}": tensor for name, tensor in self.weights.items()}
        for number, site in enumerate(sites):
            for name, tensor in self.banks[site]._asdict().items():
                tensors[f"bank/{number}/{name}"] = tensor
        document = {"run": self.run, "round": self.round, "sites": sites}
        write_sealed(self.folder / f"state-{self.round}.safetensors", tensors, document)
        for number, path in self._states()[:-KEPT]:
            if number < self.round:
                path.unlink()

    @property
    def _features(self) -> int | None:
        return self._settings.features if self.plan.exchanges else None

    @property
    def _entries(self) -> int:
        return self._settings.entries

    @property
    def _settings(self) -> FclSettings:
        return FclSettings(**self.plan.settings) if self.plan.exchanges else FclSettings()

    def _states(self) -> list[tuple[int, Path]]:
        found = self.folder.glob("state-*.safetensors")
        return sorted((int(m[1]), path) for path in found if (m := STATE.fullmatch(path.name)))

    def _resume(self) -> None:
        """Take up the last good state of this run, if there is one."""
        for _, path in reversed(self._states()):
            try:
                document, tensors = read_sealed(path)
            except ProtocolError as err:
                log.warning("%s; the round before it is used", err)
                continue
            if document.get("run") != self.run:
                log.warning("%s is of another run; it is passed over", path)
                continue
            self.round = int(document["round"])
            self.weights = {name: tensors[f"weights/{name}"] for name in self.weights}
            self.banks = {
                site: Bank(tensors[f"bank/{i}/features"], tensors[f"bank/{i}/partition"])
                for i, site in enumerate(document["sites"])
            }
            return


def _listed(left_out: Mapping[str, str]) -> str:
    return "; ".join(f"{site}: {why}" for site, why in sorted(left_out.items())) or "nobody"
