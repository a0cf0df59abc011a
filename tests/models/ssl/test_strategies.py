from typing import Any

import pytest
import torch

from models.errors import DataError
from models.ssl.ds import Ds, most_selected
from models.ssl.mocov3 import MoCoV3
from models.ssl.nsam import NSam
from models.ssl.srcl import Srcl
from models.training.method import Clock, StepLoss, Views
from tests.models.losses.loops import dot
from tests.models.ssl.loops import Entry, Roles, moco_loop, ranked
from tests.models.ssl.tiny import CLOCK, encoder, part, settings, views

SLIDES = [0, 0, 1, 1, 1, 2, 2, 0]


def _method(kind: type[MoCoV3], **changes: Any) -> MoCoV3:
    found = kind(encoder(), settings(**changes), seed=1)
    with torch.no_grad():  # as after some training, so that the twin differs
        for number, parameter in enumerate(found.twin.parameters()):
            parameter.mul_(1 + 0.1 * number)
    return found.eval()


def _step(method: MoCoV3, given: Views, clock: Clock = CLOCK) -> StepLoss:
    return method(given, method.begin_step([given], clock), 0, clock)


def _value(kind: type[MoCoV3], given: Views, clock: Clock = CLOCK, **changes: Any) -> float:
    return _step(_method(kind, **changes), given, clock).loss.item()


def _given(slides: list[int] = SLIDES) -> Views:
    return views(len(slides), slides=slides)


def _srcl(count: int, pool: str = "any", least: float = -2.0) -> Roles:
    def roles(query: Entry, own: int, keys: list[Entry]) -> tuple[set[int], set[int]]:
        found = ranked(query, own, keys, pool)[:count]
        similar = {j for j in found if dot(query.vector, keys[j].vector) >= least}
        return {own} | similar, set()

    return roles


def _nsam(count: int, pool: str = "any", least: float = -2.0) -> Roles:
    def roles(query: Entry, own: int, keys: list[Entry]) -> tuple[set[int], set[int]]:
        positives, _ = _srcl(count, pool, least)(query, own, keys)
        return {own}, positives - {own}

    return roles


def _slide(query: Entry, own: int, keys: list[Entry]) -> tuple[set[int], set[int]]:
    return {own}, {j for j, key in enumerate(keys) if j != own and key.slide == query.slide}


@pytest.mark.parametrize(
    ("kind", "changes", "roles"),
    [
        (Srcl, {"positives": 1}, _srcl(1)),
        (Srcl, {"positives": 3}, _srcl(3)),
        (Srcl, {"positives": 2, "pool": "same_slide"}, _srcl(2, "same_slide")),
        (Srcl, {"positives": 2, "pool": "other_slides"}, _srcl(2, "other_slides")),
        (Srcl, {"positives": 30}, _srcl(30)),
        (NSam, {"positives": 1}, _nsam(1)),
        (NSam, {"positives": 4}, _nsam(4)),
        (NSam, {"rule": "same_slide"}, _slide),
        (Ds, {"positives": 4, "ds_end": 0.6}, _srcl(2)),  # epoch 6 of 0 to 12
        (Ds, {"positives": 4, "ds_end": 0.6, "ds_action": "remove"}, _nsam(2)),
        (
            Ds,
            {"positives": 4, "ds_mode": "threshold", "ds_threshold": 0.3, "pool": "other_slides"},
            _srcl(4, "other_slides", 0.3),
        ),
        (
            Ds,
            {"positives": 4, "ds_mode": "both", "ds_threshold": 0.3, "ds_end": 0.6},
            _srcl(2, "any", 0.3),
        ),
        (
            Ds,
            {
                "positives": 4,
                "ds_mode": "threshold",
                "ds_threshold": 0.3,
                "ds_action": "remove",
            },
            _nsam(4, "any", 0.3),
        ),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_each_loss_equals_the_loop_in_the_papers_words(
    kind: type[MoCoV3], changes: dict[str, Any], roles: Roles
) -> None:
    given = _given()
    method = _method(kind, **changes)
    found = _step(method, given).loss.item()
    assert found == pytest.approx(moco_loop(method, given, roles), rel=1e-5, abs=1e-5)
    plain = moco_loop(method, given, _srcl(0))
    assert abs(found - plain) > 1e-3  # the strategy does something here


SAME_AS_PLAIN: list[tuple[type[MoCoV3], dict[str, Any], list[int]]] = [
    (Srcl, {"positives": 0}, SLIDES),
    (NSam, {"positives": 0}, SLIDES),
    (Ds, {"positives": 0}, SLIDES),
    (Srcl, {"plain_epochs": 7}, SLIDES),
    (NSam, {"plain_epochs": 7}, SLIDES),
    (NSam, {"plain_epochs": 7, "rule": "same_slide"}, SLIDES),
    (Ds, {"plain_epochs": 7, "ds_mode": "threshold", "ds_threshold": -1}, SLIDES),
    (Ds, {"plain_epochs": 6}, SLIDES),  # u is 0 at e0
    (Ds, {"ds_mode": "threshold", "ds_threshold": 1.01}, SLIDES),
    (Ds, {"ds_mode": "both", "ds_threshold": 1.01, "ds_end": 0}, SLIDES),
    (Srcl, {"pool": "same_slide"}, list(range(8))),
    (NSam, {"rule": "same_slide"}, list(range(8))),
    (Ds, {"pool": "same_slide", "ds_end": 0}, list(range(8))),
]


@pytest.mark.parametrize(("kind", "changes", "slides"), SAME_AS_PLAIN, ids=str)
def test_with_nothing_selected_it_is_moco(
    kind: type[MoCoV3], changes: dict[str, Any], slides: list[int]
) -> None:
    given = _given(slides)
    assert _value(kind, given, **changes) == pytest.approx(_value(MoCoV3, given), rel=1e-6)


def test_a_constant_schedule_equals_srcl_and_with_removal_nsam() -> None:
    given = _given()
    constant: dict[str, Any] = {"positives": 3, "ds_end": 0.3, "ds_curve": "step"}  # e1 is 6
    expected = _value(Srcl, given, positives=3)
    assert _value(Ds, given, **constant) == pytest.approx(expected)
    expected = _value(NSam, given, positives=3)
    assert _value(Ds, given, **constant, ds_action="remove") == pytest.approx(expected)


@pytest.mark.parametrize("threshold", [-1.0, -3.0])
def test_a_threshold_from_minus_1_on_selects_s_max(threshold: float) -> None:
    given = _given()
    method = _method(Ds, positives=3, ds_mode="threshold", ds_threshold=threshold)
    found = _step(method, given)
    assert found.metrics["selected"].item() == 3
    assert found.loss.item() == pytest.approx(_value(Srcl, given, positives=3))


def test_promoting_never_exceeds_removing_nor_that_the_plain_loss() -> None:
    given, before = _given(), _value(MoCoV3, _given())
    plain = before
    for count in range(1, 7):
        promoted = _value(Srcl, given, positives=count)
        removed = _value(NSam, given, positives=count)
        assert promoted < removed < plain
        assert promoted < before  # of one S after the other
        before = promoted


@pytest.mark.parametrize("kind", [Srcl, NSam, Ds])
def test_the_order_of_a_batch_does_not_matter(kind: type[MoCoV3]) -> None:
    given = _given()
    shuffled = part(given, torch.tensor([5, 6, 7, 4, 3, 0, 2, 1]))  # as of ranks in another order
    expected = _value(kind, given, positives=3, ds_end=0)
    assert _value(kind, shuffled, positives=3, ds_end=0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", [Srcl, NSam, Ds])
def test_micro_batches_equal_the_whole_batch(kind: type[MoCoV3]) -> None:
    given = _given()
    method = _method(kind, positives=3, ds_end=0, momentum=1.0)
    micro = [part(given, slice(at, at + 2)) for at in (0, 2, 4, 6)]
    prepared = method.begin_step(micro, CLOCK)
    parts = [method(one, prepared, i, CLOCK).loss.item() for i, one in enumerate(micro)]
    assert sum(parts) / 4 == pytest.approx(_step(method, given).loss.item(), rel=1e-5)


@pytest.mark.parametrize(("kind", "count"), [(Srcl, 3), (NSam, 3), (Ds, 3)])
def test_blocks_change_neither_loss_nor_gradient(kind: type[MoCoV3], count: int) -> None:
    found = []
    for block in (None, 3):
        method = _method(kind, positives=count, ds_end=0, block=block)
        loss = _step(method, _given()).loss
        loss.backward()
        found.append([loss, *(p.grad for p in method.parameters() if p.grad is not None)])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_metrics_say_what_was_selected() -> None:
    found = _step(_method(Srcl, positives=3, pool="same_slide"), _given()).metrics
    # three slides of 3, 3 and 2 patches
    assert found["selected"].item() == pytest.approx((6 * 2 + 2 * 1) / 8)
    assert found["selected_same_slide"].item() == 1
    assert found["negatives"].item() == pytest.approx(7 - 14 / 8)
    assert -1 <= found["selected_cosine"].item() <= 1
    found = _step(_method(NSam, rule="same_slide"), _given()).metrics
    assert found["negatives"].item() == pytest.approx(7 - 14 / 8)
    assert found["left_out"].item() == 0
    found = _step(_method(Ds, positives=5, plain_epochs=9), _given()).metrics
    assert found["selected"].item() == 0
    assert found["negatives"].item() == 7


@pytest.mark.parametrize(
    ("changes", "slides"),
    [({"rule": "same_slide"}, [4] * 6), ({"positives": 5}, [0, 1, 2, 3, 4, 5])],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_where_no_query_has_a_negative_the_sampler_is_named(
    changes: dict[str, Any], slides: list[int]
) -> None:
    method, given = _method(NSam, **changes), _given(slides)
    with pytest.raises(DataError, match=r"no query has a negative left, .* choose a sampler"):
        _step(method, given)


def test_queries_without_a_negative_are_left_out_and_counted() -> None:
    method = _method(NSam, positives=1, queue=1, momentum=1.0)
    earlier, given = views(2, 1), views(2, 0)
    earlier = earlier._replace(patch=torch.tensor([50, 101]))  # the queue keeps the last, 101
    method.end_step(method.begin_step([earlier], CLOCK), CLOCK)
    prepared = method.begin_step([given], CLOCK)
    found = method(given, prepared, 0, CLOCK)
    # query 101 may not meet its own patch, and its one other key is removed
    assert found.metrics["left_out"].item() == 0.5
    assert found.metrics["negatives"].item() == 0.5
    tau, expected = method.settings.temperature, 0.0
    for asked, keys in ((0, prepared.keys[1]), (1, prepared.keys[0])):
        embedded = method.projector(method.encoder(given.images[asked][:1]))
        query = torch.nn.functional.normalize(method.predictor(embedded), dim=1)
        own, other, queued = (query @ keys.rows.vectors.T / tau)[0].tolist()
        kept = min(other, queued)  # the more similar one is removed
        expected += 2 * tau * torch.log1p(torch.tensor(kept - own).exp()).item()
    assert found.loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ("linear", [0, 0, 0, 0, 1, 2, 3, 4, 4]),
        ("cosine", [0, 0, 0, 0, 1, 2, 3, 4, 4]),
        ("step", [0, 0, 0, 0, 0, 0, 0, 4, 4]),
    ],
)
def test_the_number_selected_walks_from_e0_to_e1(curve: Any, expected: list[int]) -> None:
    # e0 is 3, e1 is 7 of 14; S_max 4: linear 4 u, cosine 2 - 2 cos(pi u) = 0, .59, 2, 3.41, 4
    given = settings(positives=4, plain_epochs=3, ds_end=0.5, ds_curve=curve)
    assert [most_selected(given, epoch, 14) for epoch in range(9)] == expected


def test_halves_are_rounded_up_and_a_schedule_without_length_is_a_step() -> None:
    given = settings(positives=5, plain_epochs=5, ds_end=0.5)
    # the defaults on 50 epochs: 5 (e - 5) / 20 is .25, .5, ... 4.75, 5
    found = [most_selected(given, epoch, 50) for epoch in (4, 5, 6, 7, 11, 13, 24, 25, 49)]
    assert found == [0, 0, 0, 1, 2, 2, 5, 5, 5]
    assert [most_selected(given, epoch, 10) for epoch in (4, 5, 9)] == [0, 5, 5]
