import re
from xml.etree import ElementTree

import pytest

from workflows.reporting.plots import BOTTOM, HEIGHT, TOP, _ticks, bars, histogram

ROOM = HEIGHT - TOP - BOTTOM


def _heights(drawing: str) -> list[float]:
    ElementTree.fromstring(drawing)  # well-formed
    return [float(value) for value in re.findall(r'<rect [^>]*height="([\d.]+)"', drawing)]


def test_bars_are_sorted_and_in_proportion() -> None:
    drawing = bars([10, 40, 20], title="t", below="b", label=str)
    tall, middle, low = _heights(drawing)
    assert tall == pytest.approx(ROOM, abs=0.01)
    assert (middle / tall, low / tall) == pytest.approx((0.5, 0.25), abs=0.001)


def test_many_bars_are_thinned_and_keep_both_ends() -> None:
    heights = _heights(bars(list(range(10_001)), title="t", below="b", label=str))
    assert len(heights) == 200
    assert heights[0] == pytest.approx(ROOM, abs=0.01)
    assert heights[-1] == 0


def test_a_histogram_keeps_the_order_of_bins() -> None:
    heights = _heights(histogram([1, 0, 4], title="t", below="b", ends=("0", "1")))
    assert heights == pytest.approx([ROOM / 4, 0, ROOM], abs=0.01)


@pytest.mark.parametrize("values", [[], [0], [0, 0]])
def test_nothing_to_draw_is_drawn(values: list[float]) -> None:
    assert all(height == 0 for height in _heights(bars(values, title="t", below="b", label=str)))


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        (0, [0, 1]),
        (4, [0, 1, 2, 3, 4]),
        (282, [0, 100, 200, 300]),
        (0.9, [0, 0.25, 0.5, 0.75, 1.0]),
        (5e9, [0, 2e9, 4e9, 6e9]),
    ],
)
def test_ticks_are_round_and_reach_the_largest(largest: float, expected: list[float]) -> None:
    assert _ticks(largest) == pytest.approx(expected)


def test_texts_are_escaped() -> None:
    drawing = bars([1], title="<b>", below="a & b", label=lambda _: "<i>")
    assert "<b>" not in drawing
    assert "a &amp; b" in drawing
