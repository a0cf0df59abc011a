"""FCL in one step: which entries are positives, both sets of negatives, the twin."""

from typing import Any

import pytest
import torch
from torch import Tensor

from models.errors import DataError
from models.losses.precision import unit_rows
from models.ssl.bank import Bank
from models.ssl.fcl import Fcl, FclSettings
from models.training.method import Views
from tests.models.ssl.tiny import CLOCK, encoder, views

PLACES = (0, 1, 2, 1, 0, 0)


def method(**changes: Any) -> Fcl:
    return Fcl(encoder(), FclSettings(features=5, **changes), seed=0)


def placed() -> Views:
    made = views(len(PLACES), slides=[0, 0, 1, 1, 2, 2])
    return made._replace(partition=torch.tensor(PLACES))


def bank(size: int, seed: int = 0) -> Bank:
    generator = torch.Generator().manual_seed(seed)
    features = unit_rows(torch.randn(size, 5, generator=generator))
    return Bank(features, torch.arange(size) % 3)


def step(fcl: Fcl, given: Views) -> Any:
    prepared = fcl.begin_step([given], CLOCK)
    return fcl(given, prepared, 0, CLOCK)


def slow(
    fcl: Fcl, given: Views, drawn: Bank, *, literal: bool, others: bool
) -> tuple[float, float]:
    """Remote and local term of METHODS 9.2, query by query."""
    tau = fcl.settings.temperature
    keys = fcl.embed(given.images[1])
    queries = unit_rows(fcl.projector(fcl.encoder(given.images[0])))
    own, slide = given.partition, given.slide
    assert own is not None

    def ell(q: Tensor, positives: Tensor, negatives: Tensor) -> float:
        if not len(positives):
            return 0.0
        below = (negatives @ q / tau).exp().sum()
        above = (positives @ q / tau).exp()
        return float(-(above / (above + below)).log().mean())

    remote, local = [], []
    for i, q in enumerate(queries):
        alike = drawn.partition == own[i]
        negatives = drawn.features if literal else drawn.features[~alike]
        near = own == own[i]
        if others:
            near = near & (slide != slide[i])
        remote.append(ell(q, drawn.features[alike], negatives))
        local.append(ell(q, keys[near], negatives))
    return sum(remote) / len(remote), sum(local) / len(local)


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("others", [False, True])
def test_both_terms_agree_with_a_loop_over_queries(literal: bool, others: bool) -> None:
    fcl = method(
        negatives="literal" if literal else "partition",
        positives="other_volumes" if others else "any_volume",
        drawn=9,
    )
    own, remote = bank(4, 1), bank(5, 2)
    fcl.hold(own, [remote], seed=0)  # 9 entries in all, so Q' is Q
    drawn = Bank(
        torch.cat([own.features, remote.features]), torch.cat([own.partition, remote.partition])
    )
    with torch.no_grad():
        found = step(fcl, placed())
        expected = slow(fcl, placed(), drawn, literal=literal, others=others)
    assert float(found.metrics["remote"]) == pytest.approx(expected[0], rel=1e-4)
    assert float(found.metrics["local"]) == pytest.approx(expected[1], rel=1e-4)
    assert float(found.loss) == pytest.approx(sum(expected), rel=1e-4)


def test_without_entries_of_its_partition_the_remote_term_is_zero() -> None:
    fcl = method()
    far = bank(6)
    fcl.hold(Bank(far.features, torch.full((6,), 7)), [], seed=0)
    found = step(fcl, placed())
    assert float(found.metrics["remote"]) == 0
    assert float(found.metrics["local"]) > 0


def test_the_literal_loss_is_no_less_and_equal_where_no_entry_is_of_the_partition() -> None:
    for partition, equal in ((torch.arange(8) % 3, False), (torch.full((8,), 9), True)):
        losses = []
        for negatives in ("partition", "literal"):
            fcl = method(negatives=negatives)
            fcl.hold(Bank(bank(8).features, partition), [], seed=0)
            losses.append(float(step(fcl, placed()).loss.detach()))
        assert (losses[0] == losses[1]) if equal else (losses[0] < losses[1])


def test_alone_only_the_own_bank_is_drawn_from() -> None:
    fcl, own = method(), bank(6)
    fcl.hold(own, [], seed=0)
    drawn = fcl.begin_step([placed()], CLOCK).drawn
    assert torch.equal(drawn.features, own.features)


def test_as_many_are_drawn_with_one_other_site_as_with_nine() -> None:
    fcl = method()
    for others in (0, 1, 9):
        fcl.hold(bank(6), [bank(6, i) for i in range(others)], seed=0)
        assert fcl.begin_step([placed()], CLOCK).drawn.size == 6


def test_the_same_step_draws_the_same_and_another_another() -> None:
    fcl = method()
    fcl.hold(bank(6), [bank(60, 1)], seed=3)
    first, again = (fcl.begin_step([placed()], CLOCK).drawn.features for _ in range(2))
    other = fcl.begin_step([placed()], CLOCK._replace(step=31)).drawn.features
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_micro_batches_together_give_the_loss_of_the_whole() -> None:
    fcl, whole = method(), placed()
    fcl.hold(bank(12), [], seed=0)
    halves = [
        Views(
            tuple(view[rows] for view in whole.images),
            whole.slide[rows],
            whole.patch[rows],
            None,
            None,
            whole.partition[rows],  # type: ignore[index]
        )
        for rows in (slice(0, 3), slice(3, 6))
    ]
    prepared = fcl.begin_step(halves, CLOCK)
    parts = [float(fcl(half, prepared, i, CLOCK).loss.detach()) for i, half in enumerate(halves)]
    assert sum(parts) / 2 == pytest.approx(float(step(fcl, whole).loss.detach()), rel=1e-5)


def test_the_twin_follows_after_the_step_and_has_no_gradient() -> None:
    fcl = method(momentum=0.75)
    fcl.hold(bank(6), [], seed=0)
    before = [p.clone() for p in fcl.twin.parameters()]
    found = step(fcl, placed())
    found.loss.backward()
    with torch.no_grad():
        for p in fcl.encoder.parameters():
            p.add_(1.0)
    fcl.end_step(None, CLOCK)
    twin = list(fcl.twin.parameters())
    trained = [*fcl.encoder.parameters(), *fcl.projector.parameters()]
    for was, now, p in zip(before, twin, trained, strict=True):
        assert torch.allclose(now, 0.75 * was + 0.25 * p)
    assert all(p.grad is None for p in twin)


def test_what_is_held_is_in_no_checkpoint() -> None:
    fcl = method()
    fcl.hold(bank(6), [bank(6)], seed=0)
    assert {name.split(".")[0] for name in fcl.state_dict()} == {"encoder", "projector", "twin"}


def test_patches_without_partition_are_refused() -> None:
    with pytest.raises(DataError, match="microtome partition"):
        method().begin_step([views(4)], CLOCK)


@pytest.mark.parametrize(
    ("field", "value"), [("temperature", 0), ("momentum", 2), ("entries", 0), ("negatives", "none")]
)
def test_settings_out_of_range_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        FclSettings(**{field: value})
