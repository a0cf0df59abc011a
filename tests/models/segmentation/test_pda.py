"""Progressive dropout attention against loops, and both published schedules."""

import pytest
import torch
from torch import Tensor

from models.segmentation.pda import PDA, attention, drop_peaks


def _given(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(2, 5, 3, 4, generator=generator),
        torch.randn(3, 5, generator=generator),
    )


def _loop(maps: Tensor, weights: Tensor, mu: float) -> Tensor:
    """METHODS 10.3, one number at a time."""
    count, channels, height, width = maps.shape
    classes = len(weights)
    found = torch.zeros(count, 1, height, width)
    for b in range(count):
        for k in range(classes):
            scores = [
                [
                    max(0.0, sum(float(weights[k, c] * maps[b, c, y, x]) for c in range(channels)))
                    for x in range(width)
                ]
                for y in range(height)
            ]
            limit = mu * max(max(row) for row in scores)
            for y in range(height):
                for x in range(width):
                    if not scores[y][x] > limit:
                        found[b, 0, y, x] += scores[y][x] / classes
    return found


@pytest.mark.parametrize("mu", [1.0, 0.941, 0.5])
def test_attention_is_that_of_the_loop(mu: float) -> None:
    maps, weights = _given()
    found = attention(maps, weights, mu)
    assert found.shape == (2, 1, 3, 4)
    assert (found >= 0).all()
    torch.testing.assert_close(found, _loop(maps, weights, mu))


def test_a_mu_of_1_drops_nothing() -> None:
    maps, weights = _given(1)
    scores = torch.einsum("bdhw,cd->bchw", maps, weights).relu()
    assert torch.equal(drop_peaks(scores, 1.0), scores)
    torch.testing.assert_close(attention(maps, weights, 1.0), scores.mean(dim=1, keepdim=True))


def test_only_what_is_strictly_above_the_limit_is_dropped() -> None:
    scores = torch.tensor([[[[4.0, 2.0, 2.0, 1.0]], [[0.0, 0.0, 0.0, 0.0]]]])
    kept = torch.tensor([[[[0.0, 2.0, 2.0, 1.0]], [[0.0, 0.0, 0.0, 0.0]]]])
    assert torch.equal(drop_peaks(scores, 0.5), kept)


def test_the_limit_is_of_each_image_and_class() -> None:
    scores = torch.tensor([[[[10.0, 8.0]], [[1.0, 0.5]]], [[[2.0, 0.1]], [[5.0, 5.0]]]])
    kept = torch.tensor([[[[0.0, 0.0]], [[0.0, 0.5]]], [[[0.0, 0.1]], [[0.0, 0.0]]]])
    assert torch.equal(drop_peaks(scores, 0.7), kept)


def test_gradients_flow_through_attention_and_weights() -> None:
    maps, weights = (tensor.requires_grad_() for tensor in _given(2))
    (attention(maps, weights, 0.8) * maps).sum().backward()
    scores = torch.einsum("bdhw,cd->bchw", maps, weights).relu()
    kept = (scores <= 0.8 * scores.amax(dim=(2, 3), keepdim=True)).float().detach() * scores
    ours = maps.grad.clone(), weights.grad.clone()
    maps.grad = weights.grad = None
    (kept.mean(dim=1, keepdim=True) * maps).sum().backward()
    torch.testing.assert_close(ours, (maps.grad, weights.grad))
    assert weights.grad.abs().sum() > 0


def _code(epochs: int) -> list[float]:
    """Give mu of epochs 1, 2, ... as METHODS puts it: times .98 after each while above .65."""
    mu, found = 1.0, []
    for _ in range(epochs):
        found.append(mu)
        if mu > 0.65:
            mu *= 0.98
    return found


def test_the_schedule_of_the_code_passes_its_floor_at_epoch_23() -> None:
    found = [PDA["code"].mu(epoch) for epoch in range(40)]
    assert found[:3] == [None] * 3
    assert found[3:] == pytest.approx(_code(40)[3:])
    assert (found[3], found[19], found[22]) == pytest.approx((0.941, 0.681, 0.641), abs=5e-4)
    assert found[21] > 0.65 > found[22] == found[39]


def test_the_schedule_of_the_paper_ends_at_its_floor_at_epoch_32() -> None:
    found = [PDA["paper"].mu(epoch) for epoch in range(40)]
    assert found[:3] == [None] * 3
    assert (found[3], found[19]) == pytest.approx((0.985, 0.773), abs=5e-4)
    assert found[30] > 0.65 == found[31] == found[39]
    assert found[3:31] == pytest.approx([0.985**n for n in range(1, 29)])
