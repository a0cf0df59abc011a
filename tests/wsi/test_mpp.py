"""What counts as microns per pixel, and where it came from."""

import pytest

from wsi.errors import InvalidRequestError
from wsi.mpp import MppRecord, mpp_from_properties, override_mpp, parse_mpp


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.499", 0.499),
        (0.25, 0.25),
        (" 1e-1 ", 0.1),
        ("0", None),
        ("-0.5", None),
        ("nan", None),
        ("inf", None),
        ("0,5", None),
        ("", None),
        (None, None),
    ],
)
def test_absurd_values_are_missing(value: object, expected: float | None) -> None:
    assert parse_mpp(value) == expected


def test_both_axes_must_be_stated() -> None:
    assert mpp_from_properties({"x": "0.5"}, "x", "y") is None
    assert mpp_from_properties({"x": "0.5", "y": "0"}, "x", "y") is None
    record = mpp_from_properties({"x": "0.5", "y": "0.7"}, "x", "y")
    assert record == MppRecord(0.5, 0.7, "x, y")
    assert record.mean == pytest.approx(0.6)


def test_an_override_is_one_value_or_two() -> None:
    assert override_mpp(None) is None
    assert override_mpp(0.5) == MppRecord(0.5, 0.5, "override")
    assert override_mpp((0.5, 0.6)) == MppRecord(0.5, 0.6, "override")
    with pytest.raises(InvalidRequestError, match=r"got -1"):
        override_mpp(-1)
