from typing import Any

import pytest

from models.ssl.settings import MethodSettings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "temperature must be positive, got 0.0"),
        ({"momentum": 1.5}, "momentum must be from 0 to 1, got 1.5"),
        ({"ds_end": -0.1}, "ds_end must be from 0 to 1, got -0.1"),
        ({"queue": -1}, "queue must be at least 0, got -1"),
        ({"positives": -5}, "positives must be at least 0, got -5"),
        ({"block": 0}, "block must be at least 1, got 0"),
        ({"pool": "near"}, "pool must be one of any, same_slide, other_slides, got 'near'"),
        ({"ds_mode": "x"}, "ds_mode must be one of schedule, threshold, both, got 'x'"),
        ({"simclr_head": "big"}, "simclr_head must be one of plain, bn, got 'big'"),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MethodSettings(**changes)


def test_the_ends_of_ranges_are_taken() -> None:
    found = MethodSettings(momentum=0, ds_end=1, positives=0, jitter=0, ds_threshold=2)
    assert (found.momentum, found.ds_end, found.ds_threshold) == (0, 1, 2)
