"""What messages hold, to the byte, and what is refused."""

import json
import struct
from typing import Any

import pytest
import torch
from safetensors.torch import save

from models.federated.checking import check_answer, check_bank
from models.federated.errors import ProtocolError
from models.federated.packing import KEY, pack, read_sealed, unpack, write_sealed
from models.federated.plan import Plan
from models.federated.protocol import (
    Answer,
    Order,
    answer_bytes,
    message_payload,
    order_bytes,
)
from models.losses.precision import unit_rows
from models.ssl.bank import Bank

WEIGHTS = {"a.weight": torch.randn(3, 2), "a.seen": torch.tensor(4)}


def bank(size: int = 5) -> Bank:
    return Bank(unit_rows(torch.randn(size, 4)), torch.arange(size) % 4)


def answer(**changes: Any) -> Answer:
    usual: dict[str, Any] = {"run": "r", "round": 2, "site": "s", "patches": 9}
    return Answer(**(usual | {"weights": WEIGHTS, "bank": bank()} | changes))


def order() -> Order:
    return Order("r", 2, {"method": "fcl"}, WEIGHTS, {"b": bank(3), "a": bank(7)})


def test_an_order_comes_back_as_it_was() -> None:
    found = Order.decode(order().encode())
    assert (found.run, found.round, found.plan) == ("r", 2, {"method": "fcl"})
    assert all(torch.equal(found.weights[name], WEIGHTS[name]) for name in WEIGHTS)
    assert {site: one.size for site, one in found.banks.items()} == {"a": 7, "b": 3}


def test_features_come_back_to_half_precision_and_with_length_one() -> None:
    sent = bank()
    found = Answer.decode(answer(bank=sent).encode()).bank
    assert found is not None
    assert torch.equal(found.partition, sent.partition)
    torch.testing.assert_close(found.features, sent.features, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.features.norm(dim=1), torch.ones(5))


def test_payloads_are_what_the_arithmetic_says() -> None:
    weights = 3 * 2 * 4 + 8
    assert message_payload(order().encode()) == weights + (7 + 3) * (4 * 2 + 2)
    assert message_payload(order().encode()) == order_bytes(WEIGHTS, [7, 3], 4)
    assert message_payload(answer().encode()) == weights + 5 * (4 * 2 + 2)
    assert message_payload(answer().encode()) == answer_bytes(WEIGHTS, 5, 4)
    assert message_payload(answer(bank=None).encode()) == weights


def test_equal_messages_are_equal_bytes() -> None:
    given = answer()
    assert given.encode() == given.encode()


def test_an_answer_says_nothing_but_what_the_protocol_names() -> None:
    document, tensors = unpack(answer().encode())
    assert set(document) == {"kind", "version", "run", "round", "site", "patches"}
    assert set(tensors) == {
        "weights/a.weight",
        "weights/a.seen",
        "bank/features",
        "bank/partition",
    }


def refused(message: bytes, kind: Any = Answer) -> str:
    with pytest.raises(ProtocolError, match=r".") as found:
        kind.decode(message)
    return str(found.value)


def test_another_version_is_refused_and_says_what_to_do() -> None:
    document, tensors = unpack(answer().encode())
    told = refused(pack(tensors, document | {"version": 99}))
    assert "protocol version 99, this is 1" in told
    assert "the same version of microtome" in told


def test_what_the_protocol_does_not_name_is_refused() -> None:
    document, tensors = unpack(answer().encode())
    assert "says more" in refused(pack(tensors, document | {"patient": "x"}))
    assert "does not name" in refused(pack(tensors | {"pixels": torch.zeros(3)}, document))
    assert "this is no order" in refused(answer().encode(), Order)


@pytest.mark.parametrize("value", ["x", None, [], -1, 1.0, True, {}])
@pytest.mark.parametrize("kind", [Answer, Order])
def test_a_round_that_is_no_number_is_refused(kind: Any, value: Any) -> None:
    document, tensors = unpack((answer() if kind is Answer else order()).encode())
    assert "the round" in refused(pack(tensors, document | {"round": value}), kind)


@pytest.mark.parametrize(
    "changes", [{"sites": 3}, {"sites": [1, 2]}, {"sites": ["a", "a"]}, {"plan": []}]
)
def test_an_order_of_other_things_is_refused(changes: dict[str, Any]) -> None:
    document, tensors = unpack(order().encode())
    assert "whose plan or sites are none" in refused(pack(tensors, document | changes), Order)


@pytest.mark.parametrize("inner", ["[" * 100_000, '{"round": Infinity}', "3"])
def test_a_document_that_is_none_is_refused(inner: str) -> None:
    data = save({"weights/a": torch.zeros(1)}, {KEY: inner})
    assert refused(data)


@pytest.mark.parametrize(
    "changes",
    [{"width": "48"}, {"rounds": True}, {"base_lr": None}, {"settings": []}, {"seed": 1.5}],
)
def test_a_plan_of_other_types_is_refused(changes: dict[str, Any]) -> None:
    assert Plan.of(Plan().document() | {"base_lr": 1}).base_lr == 1
    with pytest.raises(ProtocolError, match=f"{next(iter(changes))} is of another type"):
        Plan.of(Plan().document() | changes)


@pytest.mark.parametrize("data", [b"", b"x" * 50, struct.pack("<Q", 1 << 60), save({})])
def test_other_bytes_are_refused(data: bytes) -> None:
    assert "no message of ours" in refused(data)


def test_a_bank_of_another_type_or_without_tags_is_refused() -> None:
    document, tensors = unpack(answer().encode())
    wide = tensors | {"bank/features": torch.zeros(5, 4)}
    assert "a bank of torch.float32" in refused(pack(wide, document))
    without = {name: one for name, one in tensors.items() if name != "bank/partition"}
    assert "a bank without" in refused(pack(without, document))


WRONG = {
    "another run": ({"run": "q"}, "of run q"),
    "another round": ({"round": 1}, "to round 1"),
    "NaN": ({"weights": WEIGHTS | {"a.weight": torch.full((3, 2), torch.nan)}}, "NaN"),
    "infinity": ({"weights": WEIGHTS | {"a.weight": torch.full((3, 2), torch.inf)}}, "infinity"),
    "a shape": ({"weights": WEIGHTS | {"a.weight": torch.zeros(2, 3)}}, r"\(2, 3\), not"),
    "a type": ({"weights": WEIGHTS | {"a.weight": torch.zeros(3, 2).double()}}, "float64"),
    "a missing one": ({"weights": {"a.seen": torch.tensor(1)}}, "another network: a.weight"),
    "one more": ({"weights": WEIGHTS | {"b": torch.zeros(1)}}, "another network: b"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_answer_that_must_not_count_is_refused(case: str) -> None:
    changes, told = WRONG[case]
    with pytest.raises(ProtocolError, match=told):
        check_answer(answer(**changes), run="r", number=2, weights=WEIGHTS)


BANKS = {
    "none": (None, "none where one does"),
    "length": (Bank(torch.zeros(5, 3), torch.zeros(5).long()), "at most"),
    "too many": (bank(9), "at most 8"),
    "empty": (bank(0), "at most"),
    "NaN": (Bank(torch.full((5, 4), torch.nan), torch.zeros(5).long()), "NaN"),
    "unknown": (Bank(torch.zeros(5, 4), torch.full((5,), -1)), "unknown partition"),
}


@pytest.mark.parametrize("case", BANKS)
def test_a_bank_that_must_not_be_relayed_is_refused(case: str) -> None:
    given, told = BANKS[case]
    with pytest.raises(ProtocolError, match=told):
        check_bank(given, features=4, entries=8)


def test_a_bank_where_none_belongs_is_refused() -> None:
    check_bank(None, features=None, entries=8)
    with pytest.raises(ProtocolError, match="none belongs"):
        check_bank(bank(), features=None, entries=8)


def test_a_damaged_file_is_noticed(tmp_path: Any) -> None:
    path = tmp_path / "x.safetensors"
    write_sealed(path, WEIGHTS, {"round": 3})
    document, tensors = read_sealed(path)
    assert document == {"round": 3}
    assert torch.equal(tensors["a.weight"], WEIGHTS["a.weight"])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ProtocolError, match="damaged"):
        read_sealed(path)
    path.write_bytes(data[:40])
    with pytest.raises(ProtocolError, match="no message"):
        read_sealed(path)


def test_headers_are_json(tmp_path: Any) -> None:
    data = answer().encode()
    (length,) = struct.unpack_from("<Q", data)
    assert "__metadata__" in json.loads(data[8 : 8 + length])
