import math

import pytest
import torch
from torch import Tensor

from models.errors import DataError
from models.ssl.rotnet import RotNet
from models.training.method import StepLoss, Views
from tests.models.ssl.tiny import CLOCK, encoder, gradients, part, settings, views


def _method() -> RotNet:
    return RotNet(encoder(norm=True), settings(), seed=1).eval()


def _step(method: RotNet, given: Views) -> StepLoss:
    return method(given, method.begin_step([given], CLOCK), 0, CLOCK)


def _turned(count: int) -> Views:
    given = views(count)
    turns = tuple(torch.rot90(given.images[0], k, (2, 3)) for k in range(4))
    return given._replace(images=turns)


def test_view_k_of_every_patch_has_label_k() -> None:
    method, given = _method(), _turned(5)
    losses, right = [], 0
    for label, view in enumerate(given.images):
        for logits in method.head(method.encoder(view)).tolist():
            below = sum(math.exp(logit) for logit in logits)
            losses.append(-math.log(math.exp(logits[label]) / below))
            right += logits.index(max(logits)) == label
    found = _step(method, given)
    assert len(losses) == 20
    assert found.loss.item() == pytest.approx(sum(losses) / 20, rel=1e-5)
    assert found.metrics["accuracy"].item() == pytest.approx(right / 20)


def test_the_batch_is_four_times_as_large_with_all_turns_equally_often() -> None:
    method, given = _method(), _turned(5)
    inside: list[Tensor] = []
    method.encoder.network[0].register_forward_hook(lambda _m, args, _o: inside.append(args[0]))
    _step(method, given)
    (batch,) = inside
    assert torch.equal(batch, torch.cat(given.images))


def test_labels_survive_shuffling() -> None:
    method, given = _method(), _turned(6)
    mixed = part(given, torch.tensor([3, 1, 5, 0, 2, 4]))
    torch.testing.assert_close(_step(method, mixed).loss, _step(method, given).loss)
    wrong = given._replace(images=(*given.images[1:], given.images[0]))
    assert abs(_step(method, wrong).loss - _step(method, given).loss) > 1e-4


def test_micro_batches_equal_the_whole_batch() -> None:
    assert RotNet.exact_accumulation
    given, whole, parts = _turned(8), _method(), _method()
    _step(whole, given).loss.backward()
    for at in (0, 4):
        (_step(parts, part(given, slice(at, at + 4))).loss / 2).backward()
    for mine, theirs in zip(gradients(parts).values(), gradients(whole).values(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_turns_are_learned() -> None:
    method, given = _method(), _turned(16)
    # a bright corner, so that there is an up
    bright = torch.zeros(16, 3, 8, 8)
    bright[:, :, :4, :4] = 3.0
    given = given._replace(images=tuple(torch.rot90(bright, k, (2, 3)) for k in range(4)))
    optimizer = torch.optim.Adam(method.parameters(), 0.02)
    before = _step(method, given).loss.item()
    for _ in range(60):
        optimizer.zero_grad()
        _step(method, given).loss.backward()
        optimizer.step()
    assert _step(method, given).loss.item() < 0.8 * before


def test_another_number_of_views_is_refused() -> None:
    method, given = _method(), views(4, number=2)
    with pytest.raises(DataError, match="in the number of 4, got 2"):
        _step(method, given)
