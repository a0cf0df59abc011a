"""What sites and the server say to each other, to the byte, and what is refused.

An order goes from the server to a site, an answer back. Nothing else does:

    order    weights of the averaged model, all other sites' banks with the sites' names, the plan
    answer   weights of the trained model, the site's bank, its name, its number of patches

A bank is features (float16) and partition tags (int16). No pixel, no name or number of a slide, a
patient or a file, no score and no time is in a message; reading one refuses what is not named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from models.federated.averaging import State
from models.federated.errors import ProtocolError
from models.federated.packing import Document, header_bytes, pack, payload_bytes, unpack
from models.losses.precision import unit_rows
from models.ssl.bank import Bank

VERSION: Final = 1
"""Of the protocol; sites and server of different ones do not work together."""

WEIGHTS, BANK, FEATURES, PARTITION = "weights/", "bank/", "features", "partition"
ORDER: Final = frozenset({"kind", "version", "run", "round", "plan", "sites"})
ANSWER: Final = frozenset({"kind", "version", "run", "round", "site", "patches"})


@dataclass(frozen=True)
class Order:
    """What a site is asked to do.

    Attributes:
        run: identity of the federated run.
        round: number of the round, from 0.
        plan: what all do alike, JSON values.
        weights: of the averaged model.
        banks: of the other sites, by name.
    """

    run: str
    round: int
    plan: Document
    weights: State
    banks: Mapping[str, Bank]

    def encode(self) -> bytes:
        """Give the message."""
        sites = sorted(self.banks)
        tensors = _weights(self.weights)
        for number, site in enumerate(sites):
            tensors |= _bank(self.banks[site], f"{BANK}{number}/")
        document = {"kind": "order", "version": VERSION, "run": self.run, "round": self.round}
        return pack(tensors, document | {"plan": self.plan, "sites": sites})

    @classmethod
    def decode(cls, data: bytes) -> "Order":
        """Read a message.

        Raises:
            ProtocolError: it is no order of this version.
        """
        document, tensors = _open(data, "order", ORDER)
        sites, plan = document["sites"], document["plan"]
        if not isinstance(plan, dict) or not _are_names(sites):
            raise ProtocolError("an order whose plan or sites are none")
        banks = {site: _read_bank(tensors, f"{BANK}{i}/") for i, site in enumerate(sites)}
        _require_none_left(tensors)
        return cls(document["run"], document["round"], plan, _read_weights(tensors), banks)


@dataclass(frozen=True)
class Answer:
    """What a site gives back.

    Attributes:
        run: identity of the federated run.
        round: number of the round.
        site: name of the site.
        patches: that it trained on.
        weights: of its model.
        bank: of its patches; None where the method has none.
    """

    run: str
    round: int
    site: str
    patches: int
    weights: State
    bank: Bank | None

    def encode(self) -> bytes:
        """Give the message."""
        tensors = _weights(self.weights)
        if self.bank is not None:
            tensors |= _bank(self.bank, BANK)
        document = {"kind": "answer", "version": VERSION, "run": self.run, "round": self.round}
        return pack(tensors, document | {"site": self.site, "patches": self.patches})

    @classmethod
    def decode(cls, data: bytes) -> "Answer":
        """Read a message.

        Raises:
            ProtocolError: it is no answer of this version.
        """
        document, tensors = _open(data, "answer", ANSWER)
        bank = _read_bank(tensors, BANK) if f"{BANK}{FEATURES}" in tensors else None
        _require_none_left(tensors)
        site, patches = document["site"], document["patches"]
        if not isinstance(site, str) or not site or not _is_count(patches):
            raise ProtocolError(f"an answer of the site {site!r} with {patches!r} patches")
        run, number = document["run"], document["round"]
        return cls(run, number, site, patches, _read_weights(tensors), bank)


def bank_bytes(entries: int, features: int) -> int:
    """Give the bytes of a bank: float16 features and an int16 tag each."""
    return entries * (2 * features + 2)


def order_bytes(weights: State, entries: Sequence[int], features: int) -> int:
    """Give the payload of an order: the weights once, and every other site's bank."""
    return payload_bytes(weights) + sum(bank_bytes(count, features) for count in entries)


def answer_bytes(weights: State, entries: int, features: int) -> int:
    """Give the payload of an answer: the weights once, and the site's own bank."""
    return payload_bytes(weights) + bank_bytes(entries, features)


def message_payload(data: bytes) -> int:
    """Measure the bytes of a message's tensors: all that follows the header."""
    return len(data) - header_bytes(data)


def _weights(state: State) -> dict[str, Tensor]:
    return {f"{WEIGHTS}{name}": tensor for name, tensor in state.items()}


def _bank(bank: Bank, prefix: str) -> dict[str, Tensor]:
    return {
        f"{prefix}{FEATURES}": bank.features.to(torch.float16),
        f"{prefix}{PARTITION}": bank.partition.to(torch.int16),
    }


def _open(data: bytes, kind: str, names: frozenset[str]) -> tuple[Document, dict[str, Tensor]]:
    document, tensors = unpack(data)
    if document.get("version") != VERSION:
        raise ProtocolError(
            f"a message of protocol version {document.get('version')!r}, this is {VERSION}; let "
            "all sites and the server run the same version of microtome"
        )
    if document.get("kind") != kind or set(document) != names:
        raise ProtocolError(f"this is no {kind}, or says more than the protocol names")
    run, number = document["run"], document["round"]
    if not isinstance(run, str) or not (_is_count(number) or (number == 0 and type(number) is int)):
        raise ProtocolError(f"a message of the run {run!r:.40} and the round {number!r:.40}")
    return document, tensors


def _read_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(WEIGHTS): t for n, t in tensors.items() if n.startswith(WEIGHTS)}


def _read_bank(tensors: dict[str, Tensor], prefix: str) -> Bank:
    """Take a bank out of a message; features have length 1 again, whatever was done to them."""
    try:
        features = tensors.pop(f"{prefix}{FEATURES}")
        partition = tensors.pop(f"{prefix}{PARTITION}")
    except KeyError as err:
        raise ProtocolError(f"a bank without {err}") from err
    fits = features.ndim == 2 and partition.shape == features.shape[:1]
    if not fits or (features.dtype, partition.dtype) != (torch.float16, torch.int16):
        raise ProtocolError(
            f"a bank of {features.dtype} {tuple(features.shape)} and {partition.dtype} "
            f"{tuple(partition.shape)}"
        )
    return Bank(unit_rows(features), partition.long())


def _require_none_left(tensors: Mapping[str, Tensor]) -> None:
    other = [name for name in tensors if not name.startswith(WEIGHTS)]
    if other:
        raise ProtocolError(f"a message with {other[0]!r}, which the protocol does not name")


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _are_names(values: Any) -> bool:
    good = isinstance(values, list) and all(isinstance(one, str) for one in values)
    return good and len(set(values)) == len(values)
