"""The loss of stage 2, one number at a time, and its method."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.errors import DataError, LabelsError
from models.segmentation.settings import SEGMENT, SEGMENT_PUBLISHED
from models.segmentation.stage2 import SUPERVISED, LossSettings, Segmentation, layered_loss
from models.training.method import StepLoss, Views
from models.training.optimizers import build_optimizer
from models.training.schedule import learning_rate
from tests.models.segmentation.tiny import (
    CLASSES,
    SIDE,
    TinySegmenter,
    clock,
    images,
    part,
    views,
)

LITERAL = LossSettings(white="literal")


def _given(seed: int = 0, count: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, CLASSES, 4, 5, generator=generator)
    masks = torch.randint(0, CLASSES + 1, (count, 3, 4, 5), generator=generator).to(torch.uint8)
    masks[0, 1] = 255
    masks[1, :, 0] = 255
    return logits, masks


def _loop(logits: Tensor, masks: Tensor, white: str) -> float:
    total = 0.0
    for i, weight in enumerate((0.6, 0.2, 0.2)):
        losses = []
        for b in range(len(logits)):
            for y in range(logits.shape[2]):
                for x in range(logits.shape[3]):
                    target = int(masks[b, i, y, x])
                    scores = [float(one) for one in logits[b, :, y, x]]
                    if white == "literal":
                        scores.append(100.0 if int(masks[b, 0, y, x]) == CLASSES else 0.0)
                    if target < len(scores):
                        top = max(scores)
                        below = top + math.log(sum(math.exp(s - top) for s in scores))
                        losses.append(below - scores[target])
        total += weight * sum(losses) / len(losses)
    return total


@pytest.mark.parametrize("white", ["ignore", "literal"])
def test_the_loss_is_that_of_the_loop(white: str) -> None:
    logits, masks = _given()
    found = layered_loss(logits, masks, LossSettings(white=white))  # type: ignore[arg-type]
    assert found.item() == pytest.approx(_loop(logits, masks, white), rel=1e-5)


def test_white_pixels_get_no_gradient_where_they_are_ignored() -> None:
    logits, masks = _given()
    masks[:] = masks[:, :1]
    logits.requires_grad_()
    layered_loss(logits, masks, LossSettings()).backward()
    counted = (masks[:, 0] < CLASSES)[:, None].expand_as(logits)
    assert not logits.grad[~counted].any()
    assert logits.grad[counted].all()
    assert (~counted).any()


def test_the_literal_white_pushes_true_logits_above_0_and_ignoring_it_does_not() -> None:
    """One class is in the mask, and its logit is alike in all pixels: only 0 can push it."""
    masks = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    logits = torch.full((1, 2, 2, 2), -8.0).requires_grad_()
    for white, pushed in (("literal", True), ("ignore", False)):
        logits.grad = None
        settings = LossSettings(white=white)  # type: ignore[arg-type]
        layered_loss(logits, masks, settings).backward()
        sums = logits.grad.sum(dim=1)  # a softmax over C logits alone moves their sum nowhere
        assert bool((sums < -0.1).all()) == pushed
        assert pushed or sums.abs().max() < 1e-6


def test_the_literal_white_silences_white_pixels() -> None:
    masks = torch.full((1, 3, 2, 2), CLASSES, dtype=torch.uint8)
    logits = torch.randn(1, CLASSES, 2, 2).requires_grad_()
    layered_loss(logits, masks, LITERAL).backward()
    assert logits.grad.abs().max() < 1e-30


def test_masks_in_which_nothing_counts_give_a_loss_of_0() -> None:
    logits, masks = _given()
    for value in (CLASSES, 255):
        given = logits.clone().requires_grad_()
        found = layered_loss(given, torch.full_like(masks, value), LossSettings())
        found.backward()
        assert found.item() == 0
        assert not given.grad.any()


def test_masks_that_do_not_fit_are_refused() -> None:
    logits, masks = _given()
    with pytest.raises(DataError, match=r"masks are \(3, 3, 4, 4\), the network's answer needs"):
        layered_loss(logits, masks[..., :4], LossSettings())
    with pytest.raises(DataError, match=r"needs \(3, 1, 4, 5\)"):
        layered_loss(logits, masks, SUPERVISED)
    with pytest.raises(DataError, match="3 for background and 255 for none, got 7"):
        layered_loss(logits, torch.where(masks == 2, 7, masks), LossSettings())
    with pytest.raises(ValueError, match=r"weights of masks must be positive, got \(\)"):
        LossSettings(weights=())
    with pytest.raises(ValueError, match="white must be ignore or literal, got 'keep'"):
        LossSettings(white="keep")  # type: ignore[arg-type]


def _masks(count: int, layers: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    masks = torch.randint(0, CLASSES + 1, (count, layers, SIDE, SIDE), generator=generator)
    masks[0] = 255
    masks[1, :, :, :12] = CLASSES
    return masks.to(torch.uint8)


def _method(settings: LossSettings = LossSettings()) -> Segmentation:  # noqa: B008 - frozen
    return Segmentation(TinySegmenter(), CLASSES, settings).eval()


def _step(method: Segmentation, given: Views) -> StepLoss:
    return method(given, method.begin_step([given], clock()), 0, clock())


@pytest.mark.parametrize("settings", [LossSettings(), LITERAL, LossSettings(divide_by_batch=True)])
def test_micro_batches_equal_the_whole_batch(settings: LossSettings) -> None:
    assert Segmentation.exact_accumulation
    given, whole, parts = views(6, masks=_masks(6)), _method(settings), _method(settings)
    expected = _step(whole, given)
    expected.loss.backward()
    micro = [part(given, slice(at, at + 2)) for at in (0, 2, 4)]
    prepared = parts.begin_step(micro, clock())
    found = [parts(one, prepared, i, clock()) for i, one in enumerate(micro)]
    (sum(one.loss for one in found) / 3).backward()
    assert sum(one.loss.item() for one in found) / 3 == pytest.approx(expected.loss.item())
    accuracy = sum(one.metrics["pixel_accuracy"].item() for one in found) / 3
    assert accuracy == pytest.approx(expected.metrics["pixel_accuracy"].item())
    for mine, theirs in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_the_step_is_that_of_the_loss_and_its_accuracy_of_the_first_mask() -> None:
    given, method = views(4, masks=_masks(4)), _method()
    logits = method.network(given.images[0])
    found = _step(method, given)
    torch.testing.assert_close(found.loss, layered_loss(logits, given.masks, LossSettings()))
    named = given.masks[:, 0] < CLASSES
    right = (logits.argmax(dim=1) == given.masks[:, 0])[named].float().mean()
    assert found.metrics["pixel_accuracy"].item() == pytest.approx(right.item())
    last = method.network.encoder(given.images[0])[-1]
    torch.testing.assert_close(found.watched, last.mean(dim=(2, 3)).detach())


def test_dividing_by_the_batch_is_a_twentieth_and_the_rate_makes_up_for_it() -> None:
    given = views(20, masks=_masks(20))
    divided, plain = (
        _step(_method(LossSettings(divide_by_batch=True)), given),
        _step(_method(), given),
    )
    assert divided.loss.item() * 20 == pytest.approx(plain.loss.item())
    assert SEGMENT_PUBLISHED.base_lr == 0.01
    moved = []
    for settings, training in (
        (LossSettings(divide_by_batch=True), SEGMENT_PUBLISHED),
        (LossSettings(), SEGMENT),
    ):
        method = _method(settings)
        optimizer = build_optimizer(method, replace(training, weight_decay=0.0))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(training, 0, 5) * group.get("times", 1.0)
        for _ in range(2):
            optimizer.zero_grad()
            _step(method, given).loss.backward()
            optimizer.step()
        moved.append([p.detach().clone() for p in method.parameters()])
    for one, other in zip(*moved, strict=True):
        torch.testing.assert_close(one, other)


def test_all_but_the_encoder_learns_ten_times_faster() -> None:
    method = _method()
    optimizer = build_optimizer(method, SEGMENT)
    times = {id(p): g.get("times", 1.0) for g in optimizer.param_groups for p in g["params"]}
    for name, parameter in method.network.named_parameters():
        assert times[id(parameter)] == (1.0 if name.startswith("encoder.") else 10.0)
    assert {g["momentum"] for g in optimizer.param_groups} == {0.9}


def test_true_masks_teach_the_same_network() -> None:
    """Gradient descent on them finds what a pixel's brightness says."""
    pixels = images(4)
    truth = (pixels.mean(dim=1, keepdim=True) > 0).to(torch.uint8)
    truth[:, :, :2] = 2  # background
    given = views(4, masks=truth)._replace(images=(pixels,))
    method = Segmentation(TinySegmenter(2), 2, SUPERVISED)
    first, optimizer = _step(method, given).loss.item(), torch.optim.Adam(method.parameters(), 0.02)
    for _ in range(40):
        optimizer.zero_grad()
        _step(method, given).loss.backward()
        optimizer.step()
    assert _step(method, given).loss.item() < 0.8 * first


def test_patches_without_masks_are_refused() -> None:
    with pytest.raises(LabelsError, match="learns from masks, and the patches have none"):
        _step(_method(), views(2))
