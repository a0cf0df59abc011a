"""Values of geometry refuse what cannot be."""

import pytest

from wsi import InvalidRequestError, Mpp, Point, Region, Size


@pytest.mark.parametrize(("width", "height"), [(-1, 5), (5, -1)])
def test_a_size_is_not_negative(width: int, height: int) -> None:
    with pytest.raises(InvalidRequestError, match="must not be negative, got Size"):
        Size(width, height)


def test_a_level_is_not_negative() -> None:
    with pytest.raises(InvalidRequestError, match="got -1"):
        Region(Point(0, 0), -1, Size(1, 1))


@pytest.mark.parametrize("value", [0.0, -0.5, float("nan"), float("inf")])
def test_mpp_is_positive_and_finite(value: float) -> None:
    with pytest.raises(InvalidRequestError, match="positive and finite"):
        Mpp(0.5, value)


def test_means_and_areas() -> None:
    assert Mpp(0.2, 0.3).mean == pytest.approx(0.25)
    assert Size(7, 3).area == 21
