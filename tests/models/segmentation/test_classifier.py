"""Stage 1: its head, loss and metrics, and what it says about labels."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.errors import DataError, LabelsError
from models.segmentation.classifier import (
    Classification,
    Classifier,
    check_labels,
    several_labels,
)
from models.segmentation.pda import attention
from models.segmentation.settings import CLASSIFY
from models.training.method import StepLoss, Views
from models.training.optimizers import build_optimizer
from models.training.schedule import learning_rate, set_learning_rate
from tests.models.segmentation.tiny import CLASSES, TinyTrunk, classifier, clock, part, views

LABELS = [[1, 0, 1], [0, -1, 1], [-1, -1, -1], [0, 0, 0], [1, 1, 1], [0, 1, -1]]


def _method(**options: None) -> Classification:
    return Classification(classifier(), **options).eval()


def _step(method: Classification, given: Views, epoch: int = 0) -> StepLoss:
    at = clock(epoch)
    return method(given, method.begin_step([given], at), 0, at)


def test_the_head_is_a_mean_and_a_product_without_a_bias() -> None:
    network = classifier()
    pixels = views(4).images[0]
    pooled = network.trunk(pixels)[-1].mean(dim=(2, 3))
    torch.testing.assert_close(network(pixels), pooled @ network.fc8.weight.flatten(1).T)
    bound = math.sqrt(6 / (6 + CLASSES))  # Glorot and Bengio 2010, equation 16
    assert network.fc8.weight.abs().max() <= bound
    other = Classifier(TinyTrunk(), CLASSES, seed=1)
    assert not torch.equal(network.fc8.weight, other.fc8.weight)
    assert torch.equal(network.fc8.weight, classifier().fc8.weight)


def test_channels_are_dropped_in_training_alone() -> None:
    network = classifier()
    assert isinstance(network.dropout, nn.Dropout2d)
    assert network.dropout.p == 0.5
    last = torch.ones(1, 6, 4, 4)
    assert torch.equal(network.decide(last), network.decide(last))
    network.train()
    torch.manual_seed(0)
    assert not torch.equal(network.decide(last), network.decide(last))


def test_the_loss_is_torchs_soft_margin_where_all_is_known() -> None:
    labels = [[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0]]
    given, method = views(4, labels=labels), _method()
    logits = method.network(given.images[0])
    expected = functional.multilabel_soft_margin_loss(logits, torch.tensor(labels).float())
    torch.testing.assert_close(_step(method, given).loss, expected)


def test_what_is_unknown_does_not_count() -> None:
    given, method = views(6, labels=LABELS), _method()
    logits = method.network(given.images[0]).tolist()
    losses, exact, jaccard = [], [], []
    for row, label in zip(logits, LABELS, strict=True):
        pairs = [(1 / (1 + math.exp(-x)), one) for x, one in zip(row, label, strict=True)]
        known = [(p, one) for p, one in pairs if one >= 0]
        losses += [-math.log(p if one else 1 - p) for p, one in known]
        if known:
            exact.append(all((p > 0.5) == bool(one) for p, one in known))
            both = sum(p > 0.5 and bool(one) for p, one in known)
            either = sum(p > 0.5 or bool(one) for p, one in known)
            jaccard.append(both / either if either else 1.0)
    found = _step(method, given)
    assert (len(losses), len(exact)) == (13, 5)
    assert found.loss.item() == pytest.approx(sum(losses) / 13, rel=1e-5)
    assert found.metrics["exact"].item() == pytest.approx(sum(exact) / 5)
    assert found.metrics["jaccard"].item() == pytest.approx(sum(jaccard) / 5)
    assert found.watched.shape == (6, 6)


def _rigged(rows: list[list[float]], labels: list[list[int]]) -> dict[str, float]:
    """Give the metrics of these logits: the network's answer is replaced by them."""
    method = _method()
    method.network.decide = lambda *_: torch.tensor(rows)  # type: ignore[method-assign]
    found = _step(method, views(len(rows), labels=labels))
    return {name: value.item() for name, value in found.metrics.items()}


def test_metrics_of_patches_whose_answer_is_seen() -> None:
    rows = [[5.0, -5.0, 5.0], [5.0, 5.0, -5.0], [-5.0, -5.0, -5.0], [5.0, -5.0, -5.0]]
    labels = [[1, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 1]]
    found = _rigged(rows, labels)
    assert found["exact"] == 0.5
    assert found["jaccard"] == pytest.approx((1 + 0.5 + 1 + 0) / 4)


def test_micro_batches_equal_the_whole_batch_though_labels_are_unevenly_known() -> None:
    assert Classification.exact_accumulation
    given, whole, parts = views(6, labels=LABELS), _method(), _method()
    expected = _step(whole, given)
    expected.loss.backward()
    micro = [part(given, slice(at, at + 2)) for at in (0, 2, 4)]
    prepared = parts.begin_step(micro, clock())
    found = [parts(one, prepared, i, clock()) for i, one in enumerate(micro)]
    (sum(one.loss for one in found) / 3).backward()
    assert sum(one.loss.item() for one in found) / 3 == pytest.approx(expected.loss.item())
    for name in ("exact", "jaccard"):
        mean = sum(one.metrics[name].item() for one in found) / 3
        assert mean == pytest.approx(expected.metrics[name].item())
    for mine, theirs in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_attention_begins_in_the_fourth_epoch_and_may_be_off() -> None:
    given = views(6, labels=LABELS)
    plain = _step(_method(pda=None), given, 7).loss
    method = _method()
    assert torch.equal(_step(method, given, 2).loss, plain)
    network = method.network
    last = network.trunk(given.images[0])[-1]
    seen = attention(last, network.fc8.weight.flatten(1), 0.98**3) * last
    logits = network.fc8(seen.mean(dim=(2, 3), keepdim=True)).flatten(1)
    method.network.decide = lambda *_: logits  # type: ignore[method-assign]
    by_hand = _step(method, given, 0).loss
    torch.testing.assert_close(_step(_method(), given, 3).loss, by_hand)
    assert not torch.allclose(by_hand, plain)


def test_a_step_without_any_label_changes_nothing() -> None:
    method = _method()
    found = _step(method, views(2, labels=[[-1] * 3] * 2))
    found.loss.backward()
    assert found.loss.item() == 0
    assert not any(p.grad.any() for p in method.parameters())


def test_the_head_learns_ten_times_faster_on_a_falling_power_without_momentum() -> None:
    method = _method()
    optimizer = build_optimizer(method, CLASSIFY)
    set_learning_rate(optimizer, learning_rate(CLASSIFY, 150, 10))
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    expected = 0.01 * (1 - 150 / 200) ** 0.9
    head = rates.pop(id(method.network.fc8.weight))
    assert head == pytest.approx(10 * expected)
    assert list(rates.values()) == pytest.approx([expected] * 6)
    assert {g["momentum"] for g in optimizer.param_groups} == {0.0}
    assert learning_rate(CLASSIFY, 0, 10) == 0.01
    assert learning_rate(CLASSIFY, 200, 10) == 0.0


def test_single_classes_become_one_of_several() -> None:
    found = several_labels(torch.tensor([2, -1, 0]), 3)
    assert found.tolist() == [[0, 0, 1], [-1, -1, -1], [1, 0, 0]]
    with pytest.raises(LabelsError, match="there are 2 classes, got a label of 2"):
        several_labels(torch.tensor([2]), 2)
    with pytest.raises(LabelsError, match=r"labels \(1, 2\) are not of 3 classes"):
        several_labels(torch.tensor([[0, 1]]), 3)


NAMES = ("a", "b", "c")


def _told(rows: list[list[int]]) -> list[str]:
    return check_labels(torch.tensor(rows), NAMES)


def test_odd_labels_are_told_of_and_useless_ones_refused() -> None:
    assert _told([[1, 0, 0], [0, 1, 1]]) == []
    assert _told([[1, 0, 1], [0, 0, 1], [0, -1, 1]]) == [
        "no patch holds b, so it cannot be learned",
        "every patch that is known holds c, so it cannot be told apart",
    ]
    with pytest.raises(LabelsError, match="none of the 2 patches is said to hold any class"):
        _told([[0, 0, 0], [-1, -1, 0]])
    with pytest.raises(LabelsError, match="the patches have no labels"):
        check_labels(torch.zeros(2, 0), ())
    with pytest.raises(LabelsError, match="at least one class, got 0"):
        Classifier(TinyTrunk(), 0)


def test_data_without_labels_and_several_views_are_refused() -> None:
    method = _method()
    with pytest.raises(LabelsError, match="which classes a patch holds, and the archive has no"):
        _step(method, views(2))
    given = views(2, labels=[[1, 0, 0]] * 2)
    twice: tuple[Tensor, ...] = given.images * 2
    with pytest.raises(DataError, match="in the number of 1, got 2"):
        _step(method, given._replace(images=twice))
