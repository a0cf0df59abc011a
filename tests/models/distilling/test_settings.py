from typing import Any

import pytest

from models.distilling.settings import DISTL_TRAINING, DistlSettings
from models.training.schedule import learning_rate, peak_rate


def test_the_rate_is_that_of_a_batch_of_16() -> None:
    assert peak_rate(DISTL_TRAINING) == pytest.approx(5e-5 * 8 / 16)
    assert learning_rate(DISTL_TRAINING, 0, 100) == 0
    assert learning_rate(DISTL_TRAINING, 100, 100) == pytest.approx(2.5e-5)
    assert learning_rate(DISTL_TRAINING, 300, 100) == pytest.approx((2.5e-5 + 1e-6) / 2)
    assert learning_rate(DISTL_TRAINING, 499, 100) == pytest.approx(1e-6, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weight": 1.5}, "weight must be from 0 to 1, got 1.5"),
        ({"correct_steps": 0}, "correct_steps must be at least 1, got 0"),
        ({"clip": 0.0}, "clip must be positive, got 0.0"),
        ({"drop_path": 1.0}, r"drop_path must be in \[0, 1\), got 1.0"),
        ({"ssl_epochs": -1}, "ssl_epochs must be at least 0, got -1"),
        ({"self_supervision": False, "self_training": False}, "teach nothing; leave one"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        DistlSettings(**changes)


def test_self_supervision_ends_with_its_epochs_and_its_weight() -> None:
    assert DistlSettings(ssl_epochs=2).distils(1)
    assert not DistlSettings(ssl_epochs=2).distils(2)
    assert not DistlSettings(weight=0.0).distils(0)
    assert not DistlSettings(self_supervision=False).distils(0)
