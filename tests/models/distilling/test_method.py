"""One step of DISTL: which term is there when, and what moves."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from models.distilling.method import Distl, clip_each
from models.errors import DataError, LabelsError
from models.losses.distl import distil_views, ramp, sharpen
from models.training.method import Clock, StepLoss, Views
from tests.models.distilling.tiny import CLOCK, method, views

BETWEEN = CLOCK._replace(between=0)
LABELS = [0, 1, 1, 0]


def _step(made: Distl, given: Views, clock: Clock = CLOCK) -> StepLoss:
    with torch.no_grad():
        prepared = made.begin_step([given], clock)
    return made(given, prepared, 0, clock)


def _whole_step(made: Distl, given: Views, clock: Clock = CLOCK) -> None:
    """What the loop does."""
    optimizer = torch.optim.SGD([p for p in made.parameters() if p.requires_grad], lr=0.1)
    with torch.no_grad():
        prepared = made.begin_step([given], clock)
    made(given, prepared, 0, clock).loss.backward()
    made.end_gradients(clock)
    optimizer.step()
    with torch.no_grad():
        made.end_step(prepared, clock)


def _values(module: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def _terms(made: Distl, given: Views) -> tuple[Tensor, Tensor, Tensor]:
    """Self-supervision, student's logits of view 1, teacher's of view 0, written out."""
    student = [made.student.encoder(view) for view in given.images]
    teacher = [made.teacher.encoder(view) for view in given.images[:2]]
    outputs = torch.stack([made.student.dino(one) for one in student])
    told = torch.stack([made.teacher.dino(one) for one in teacher])
    targets = sharpen(told, made.get_buffer("centre"), 0.04)
    logits = made.student.classes(student[1]), made.teacher.classes(teacher[0])
    return distil_views(outputs, targets, 0.1), *logits


def test_on_unlabelled_patches_the_loss_is_the_equation() -> None:
    made, given = method(), views()
    dino, logits, teacher = _terms(made, given)
    expected = 0.5 * dino + 0.5 * ramp(1, 5) * bce(logits, teacher.detach().sigmoid())
    found = _step(made, given)
    assert found.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert found.metrics["self_supervision"].item() == pytest.approx(dino.item(), rel=1e-5)


def test_on_labelled_patches_labels_stand_in_and_there_is_no_ramp() -> None:
    made, given = method(), views(labels=LABELS)
    dino, logits, _ = _terms(made, given)
    truth = torch.tensor(LABELS, dtype=torch.float32)[:, None]
    expected = 0.5 * dino + 0.5 * bce(logits, truth)
    assert _step(made, given, BETWEEN).loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_later_epochs_drop_self_supervision() -> None:
    made, given = method(ssl_epochs=1), views(labels=LABELS)
    _, logits, teacher = _terms(made, given)
    expected = ramp(1, 5) * bce(logits, teacher.detach().sigmoid())
    assert _step(made, given).loss.item() == pytest.approx(expected.item(), rel=1e-5)
    truth = torch.tensor(LABELS, dtype=torch.float32)[:, None]
    corrected = _step(made, given, BETWEEN).loss.item()
    assert corrected == pytest.approx(bce(logits, truth).item(), rel=1e-5)


def test_class_logits_are_of_the_two_whole_views_alone() -> None:
    made, given = method(classes=3, target="exclusive"), views()
    seen = made.student(given.images[:2], given.images[2:])
    assert seen.logits.shape == (2 * 4, 3)
    assert seen.outputs is not None
    assert seen.outputs.shape == (10, 4, 11)


def test_the_teacher_labels_the_patch_itself_and_the_student_answers_for_the_crop() -> None:
    made, given = method(self_supervision=False), views(number=2)
    before = _step(made, given).loss
    for view in (0, 1):
        images = list(given.images)
        images[view] = images[view] + 1
        assert _step(made, given._replace(images=tuple(images))).loss != before
    with torch.no_grad():
        prepared = made.begin_step([given], CLOCK)
    other = [given.images[0], *(view + 1 for view in given.images[1:])]
    with torch.no_grad():
        again = made.begin_step([given._replace(images=tuple(other))], CLOCK)
    assert torch.equal(prepared.labels[0], again.labels[0])


def test_without_self_supervision_no_gradient_reaches_the_dino_head_and_the_centre_stays() -> None:
    made = method(self_supervision=False)
    _whole_step(made, views(number=2))
    assert all(p.grad is None for p in made.student.dino.parameters())
    assert torch.equal(made.get_buffer("centre"), torch.zeros(11))
    assert "self_supervision" not in _step(made, views(number=2)).metrics


def test_without_self_training_no_gradient_reaches_the_class_head_but_in_corrections() -> None:
    made = method(self_training=False)
    found = _step(made, views())
    assert set(found.metrics) == {"self_supervision"}
    assert found.loss.item() == pytest.approx(0.5 * found.metrics["self_supervision"].item())
    _whole_step(made, views())
    assert all(p.grad is None for p in made.student.classes.parameters())
    _whole_step(made, views(labels=LABELS), BETWEEN)
    assert all(p.grad is not None for p in made.student.classes.parameters())


def test_no_gradient_reaches_the_teacher() -> None:
    made = method()
    _step(made, views()).loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in made.teacher.parameters())
    assert all(p.grad is not None for p in made.student.parameters())


@pytest.mark.parametrize("norm", [False, True])
def test_a_correction_leaves_the_teacher_bit_by_bit_and_moves_centre_and_student(
    norm: bool,
) -> None:
    made = method(norm=norm).train()
    teacher, student = _values(made.teacher), _values(made.student)
    centre = made.get_buffer("centre").clone()
    _whole_step(made, views(labels=LABELS), BETWEEN)
    assert _same(teacher, _values(made.teacher))
    assert not _same(student, _values(made.student))
    assert not torch.equal(centre, made.get_buffer("centre"))


def test_the_teacher_follows_after_a_step_by_the_published_momentum() -> None:
    made = method()
    before = _values(made.teacher)
    _whole_step(made, views())
    momentum = 1 - 0.5 * (1 + math.cos(math.pi * 0.3)) * (1 - 0.9995)
    after, student = _values(made.teacher), _values(made.student)
    for name, tensor in before.items():
        expected = momentum * tensor.double() + (1 - momentum) * student[name].double()
        torch.testing.assert_close(after[name].double(), expected, rtol=0, atol=1e-7)


def test_the_centre_is_nine_tenths_of_itself_and_the_mean_of_both_whole_views() -> None:
    made, given = method(), views()
    with torch.no_grad():
        told = [made.teacher.dino(made.teacher.encoder(v)) for v in given.images[:2]]
    _whole_step(made, given)
    expected = 0.1 * torch.cat(told).mean(dim=0)
    torch.testing.assert_close(made.get_buffer("centre"), expected)


def test_micro_batches_together_are_the_whole_batch() -> None:
    made, given = method(), views(6)
    whole = _step(made, given)
    halves = [
        Views(tuple(v[r] for v in given.images), given.slide[r], given.patch[r], None)
        for r in (slice(0, 3), slice(3, 6))
    ]
    with torch.no_grad():
        prepared = made.begin_step(halves, CLOCK)
        all_at_once = made.begin_step([given], CLOCK)
    parts = [made(half, prepared, i, CLOCK).loss.item() for i, half in enumerate(halves)]
    assert sum(parts) / 2 == pytest.approx(whole.loss.item(), rel=1e-5)
    torch.testing.assert_close(prepared.centre, all_at_once.centre)


def test_the_initial_model_learns_from_labels_alone() -> None:
    made, given = method(initial=True), views(labels=LABELS, number=2)
    found = _step(made, given)
    assert set(found.metrics) == {"labels"}
    logits = made.student.classes(made.student.encoder(given.images[1]))
    truth = torch.tensor(LABELS, dtype=torch.float32)[:, None]
    assert found.loss.item() == pytest.approx(bce(logits, truth).item(), rel=1e-5)
    before = _values(made.teacher)
    _whole_step(made, given)
    assert not _same(before, _values(made.teacher))  # it is kept beside


def test_prototypes_stand_still_in_the_first_epoch() -> None:
    made = method()
    before = made.student.dino.last.weight.clone()
    _whole_step(made, views(), CLOCK._replace(epoch=0))
    assert torch.equal(before, made.student.dino.last.weight)
    _whole_step(made, views())
    assert not torch.equal(before, made.student.dino.last.weight)


def test_each_gradient_is_clipped_by_itself() -> None:
    gradients = [torch.tensor([30.0, 40.0]), torch.tensor([[0.3], [0.4]]), torch.zeros(2)]
    clip_each(gradients, 3.0)
    assert gradients[0].norm().item() == pytest.approx(3, rel=1e-4)
    assert torch.equal(gradients[1], torch.tensor([[0.3], [0.4]]))
    assert torch.equal(gradients[2], torch.zeros(2))
    clip_each([], 3.0)


def test_without_a_teacher_it_begins_as_the_student() -> None:
    made = method()
    alike = Distl(made.student, None, made.settings, "binary")
    assert _same(_values(alike.student), _values(alike.teacher))


def test_statistics_of_the_teacher_are_its_own() -> None:
    made = method(norm=True).train()
    _whole_step(made, views())
    ours = [b for n, b in made.teacher.named_buffers() if "running" in n]
    theirs = [b for n, b in made.student.named_buffers() if "running" in n]
    assert ours
    assert not any(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_what_it_cannot_learn_from_is_refused() -> None:
    made, given = method(), views()
    with pytest.raises(DataError, match="in the number of 10, got 9"):
        made.begin_step([given._replace(images=given.images[1:])], CLOCK)
    with pytest.raises(LabelsError, match="needs labels, and these patches have none"):
        _step(made, given, BETWEEN)
