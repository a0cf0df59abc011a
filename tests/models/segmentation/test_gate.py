"""The gate, as we have it and as it was published."""

import pytest
import torch

from models.segmentation.gate import Gate


def _logits(*rows: float) -> torch.Tensor:
    return torch.tensor(rows)[None, :, None, None]


NEGATIVE = _logits(-2.0, -1.0, -3.0)
PRESENCE = torch.tensor([[0.9, 0.1, 0.5]])


def test_the_published_gate_shows_a_class_that_it_removed_and_ours_does_not() -> None:
    assert Gate(on="logits").classes(NEGATIVE, PRESENCE).item() == 1
    assert Gate().classes(NEGATIVE, PRESENCE).item() == 0
    assert Gate(on="logits").classes(-NEGATIVE, PRESENCE).item() == 2


@pytest.mark.parametrize("epsilon", [0.1, 0.5])
def test_no_class_is_shown_whose_probability_is_at_most_epsilon(epsilon: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 200 * torch.randn(64, 4, 6, 6, generator=generator)
    presence = torch.rand(64, 4, generator=generator)
    presence[:, 0] = torch.where(torch.arange(64) % 3 == 0, epsilon, presence[:, 0])
    found = Gate(epsilon=epsilon).classes(logits, presence)
    shown = 0
    for classes, probable in zip(found, presence, strict=True):
        for k in classes.unique().tolist():
            assert k == 4 or probable[k] > epsilon
            shown += k < 4
        assert (classes == 4).any() == bool((probable <= epsilon).all())
    assert shown > 64
    gated = Gate(epsilon=epsilon).probabilities(logits, presence)
    assert not gated[(presence <= epsilon)[:, :, None, None].expand_as(gated)].any()


def test_what_is_kept_competes_as_without_the_gate() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(5, 3, 4, 4, generator=generator)
    presence = torch.tensor([[0.2, 0.2, 0.05]]).expand(5, 3)
    gate = Gate()
    assert torch.equal(gate.classes(logits, presence), logits[:, :2].argmax(dim=1))
    plain = torch.softmax(logits, dim=1)
    assert torch.equal(gate.probabilities(logits, presence)[:, :2], plain[:, :2])
    everything = torch.full((5, 3), 0.11)
    assert torch.equal(gate.classes(logits, everything), logits.argmax(dim=1))


def test_on_logits_it_is_the_product_with_0() -> None:
    generator = torch.Generator().manual_seed(2)
    logits, presence = torch.randn(8, 3, 4, 4, generator=generator), torch.rand(8, 3) / 5
    kept = logits * (presence > 0.1)[:, :, None, None]
    gate = Gate(on="logits")
    assert torch.equal(gate.classes(logits, presence), kept.argmax(dim=1))
    torch.testing.assert_close(gate.probabilities(logits, presence), kept.softmax(dim=1))


@pytest.mark.parametrize("on", ["probabilities", "logits"])
def test_a_gate_that_is_off_needs_and_changes_nothing(on: str) -> None:
    gate = Gate(enabled=False, on=on)  # type: ignore[arg-type]
    assert gate.classes(NEGATIVE, None).item() == 1
    assert torch.equal(gate.probabilities(NEGATIVE, None), NEGATIVE.softmax(dim=1))


def test_a_gate_without_the_right_probabilities_is_refused() -> None:
    with pytest.raises(ValueError, match=r"per patch and class, \(1, 3\), got None"):
        Gate().classes(NEGATIVE, None)
    with pytest.raises(ValueError, match=r"\(1, 3\), got \(1, 4\)"):
        Gate().classes(NEGATIVE, torch.rand(1, 4))
    with pytest.raises(ValueError, match=r"epsilon must be in \[0, 1\), got 1.0"):
        Gate(epsilon=1.0)
    with pytest.raises(ValueError, match="on must be probabilities or logits, got 'False'"):
        Gate(on="False")  # type: ignore[arg-type]
