import math

import pytest
import torch

from models.errors import DataError, LabelsError
from models.ssl.supervised import Supervised
from models.training.method import StepLoss, Views
from tests.models.ssl.tiny import CLOCK, encoder, gradients, part, settings, views

LABELS = [0, 2, -1, 1, 1, -1, -1, 0]


def _method() -> Supervised:
    return Supervised(encoder(norm=True), settings(), classes=3, seed=1).eval()


def _step(method: Supervised, given: Views) -> StepLoss:
    return method(given, method.begin_step([given], CLOCK), 0, CLOCK)


def test_it_is_the_mean_over_labelled_patches() -> None:
    method, given = _method(), views(8, number=1, labels=LABELS)
    logits = method.head(method.encoder(given.images[0])).tolist()
    losses, right = [], 0
    for row, label in zip(logits, LABELS, strict=True):
        if label >= 0:
            losses.append(-math.log(math.exp(row[label]) / sum(math.exp(one) for one in row)))
            right += row.index(max(row)) == label
    found = _step(method, given)
    assert len(losses) == 5
    assert found.loss.item() == pytest.approx(sum(losses) / 5, rel=1e-5)
    assert found.metrics["accuracy"].item() == pytest.approx(right / 5)


def test_micro_batches_equal_the_whole_batch_though_labels_are_unevenly_known() -> None:
    assert Supervised.exact_accumulation
    given, whole, parts = views(8, number=1, labels=LABELS), _method(), _method()
    expected = _step(whole, given)
    expected.loss.backward()
    micro = [part(given, slice(at, at + 4)) for at in (0, 4)]
    prepared = parts.begin_step(micro, CLOCK)
    found = [parts(one, prepared, i, CLOCK) for i, one in enumerate(micro)]
    (sum(one.loss for one in found) / 2).backward()
    assert sum(one.loss.item() for one in found) / 2 == pytest.approx(expected.loss.item())
    accuracy = sum(one.metrics["accuracy"].item() for one in found) / 2
    assert accuracy == pytest.approx(expected.metrics["accuracy"].item())
    for mine, theirs in zip(gradients(parts).values(), gradients(whole).values(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_step_without_any_label_changes_nothing() -> None:
    method = _method()
    found = _step(method, views(4, number=1, labels=[-1] * 4))
    found.loss.backward()
    assert found.loss.item() == 0
    assert not any(g.any() for g in gradients(method).values())


def test_data_without_labels_are_refused() -> None:
    with pytest.raises(LabelsError, match="needs a class per patch, and the archive has none"):
        _step(_method(), views(4, number=1))
    several = views(4, number=1)._replace(label=torch.zeros(4, 3, dtype=torch.int8))
    with pytest.raises(LabelsError, match="needs a class per patch"):
        _step(_method(), several)


def test_a_single_class_is_refused() -> None:
    with pytest.raises(LabelsError, match="at least two classes, got 1"):
        Supervised(encoder(), settings(), classes=1, seed=0)


def test_another_number_of_views_is_refused() -> None:
    with pytest.raises(DataError, match="in the number of 1, got 2"):
        _step(_method(), views(4, number=2, labels=[0, 1, 2, 0]))
