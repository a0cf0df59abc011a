from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.errors import DataError
from models.ssl.simclr import SimClr
from models.training.method import StepLoss, Views
from tests.models.losses.loops import nt_xent_loop
from tests.models.ssl.tiny import CLOCK, encoder, gradients, part, settings, views


def _method(**changes: Any) -> SimClr:
    return SimClr(encoder(norm=True), settings(**changes), seed=1).eval()


def _step(method: SimClr, given: Views) -> StepLoss:
    return method(given, method.begin_step([given], CLOCK), 0, CLOCK)


@pytest.mark.parametrize("head", ["plain", "bn"])
def test_it_equals_the_loop_of_algorithm_1(head: Any) -> None:
    method, given = _method(temperature=0.2, simclr_head=head), views(6)
    first, second = (
        normalize(method.projector(method.encoder(view)), dim=1).detach() for view in given.images
    )
    found = _step(method, given)
    assert found.loss.item() == pytest.approx(nt_xent_loop(first, second, 0.2), rel=1e-5)
    assert torch.equal(found.watched, method.encoder(given.images[0]))
    assert not found.watched.requires_grad


def test_views_may_be_swapped_and_patches_permuted() -> None:
    method, given = _method(), views(6)
    expected = _step(method, given).loss
    swapped = given._replace(images=given.images[::-1])
    torch.testing.assert_close(_step(method, swapped).loss, expected)
    mixed = part(given, torch.tensor([3, 1, 5, 0, 2, 4]))
    torch.testing.assert_close(_step(method, mixed).loss, expected)


def test_both_views_are_one_batch_for_the_networks() -> None:
    method, given = _method().train(), views(6)
    inside: list[Tensor] = []
    method.encoder.network[1].register_forward_hook(lambda _m, args, _o: inside.append(args[0]))
    _step(method, given).loss.backward()
    assert [len(batch) for batch in inside] == [12]
    assert all(g.abs().max() > 0 for g in gradients(method).values())


def test_accumulation_is_not_exact_and_says_so() -> None:
    method, given = _method(), views(8)
    parts = [_step(method, part(given, slice(at, at + 4))).loss.item() for at in (0, 4)]
    assert not SimClr.exact_accumulation
    assert abs(sum(parts) / 2 - _step(method, given).loss.item()) > 0.1


def test_another_number_of_views_is_refused() -> None:
    method, given = _method(), views(4, number=1)
    with pytest.raises(DataError, match="in the number of 2, got 1"):
        _step(method, given)
