"""Attention drawn on a thumbnail, and lines over two axes."""

import re
from pathlib import Path

import numpy as np
import pytest

from models.bags.bag import Bag
from tests.models.mil.cohorts import ENCODER, Planted, write_slide
from workflows.reporting.attention import GAP_PX, STRENGTH, colours, draw_attention, ranks
from workflows.reporting.lines import Axes, Line, draw_lines, round_end

GREY = 220
"""Of the thumbnail that the slides of these tests have, 16 px per patch."""


def _bag(archive: Path, count: int, columns: int, **attributes: object) -> Bag:
    planted = Planted("s", np.zeros((count, 2), np.float32), attributes=attributes)
    return Bag(write_slide(archive, planted, columns), ENCODER)


def test_each_patch_has_the_colour_of_its_rank(tmp_path: Path) -> None:
    attention = np.array([0.1, 0.7, 0.05, 0.15])
    drawn = draw_attention(_bag(tmp_path / "a.zarr", 4, 3), attention)
    assert drawn.shape == (32, 48 + GAP_PX + 48, 3)
    assert (drawn[:, :48] == GREY).all()  # the thumbnail itself
    assert (drawn[:, 48 : 48 + GAP_PX] == 255).all()
    seen = drawn[:, 48 + GAP_PX :]
    expected = colours(np.array([1, 3, 0, 2]) / 3)
    for patch, colour in enumerate(expected):
        row, column = divmod(patch, 3)
        cell = seen[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
        mixed = np.rint(GREY * (1 - STRENGTH) + colour * STRENGTH)
        assert (cell == mixed).all()
    assert (seen[16:, 16:] == GREY).all()  # no patch there


def test_imported_patches_are_drawn_without_a_thumbnail(tmp_path: Path) -> None:
    drawn = draw_attention(_bag(tmp_path / "a.zarr", 6, 3, grid=None), np.arange(6.0))
    assert drawn.shape[0] * 3 == pytest.approx(drawn.shape[1] * 2, abs=3)
    top, bottom = drawn[10, 10], drawn[-10, -10]
    assert bottom.sum() > top.sum()  # yellow against violet


def test_equal_attention_has_one_rank() -> None:
    assert ranks(np.array([2.0, 1.0, 2.0, 5.0])).tolist() == [0.5, 0.0, 0.5, 1.0]
    assert ranks(np.array([0.3])).tolist() == [1.0]


def test_colours_rise_in_brightness() -> None:
    light = colours(np.linspace(0, 1, 50)) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(light) > 0).all()
    assert colours(np.array([0.0, 1.0])).tolist() == [[68, 1, 84], [253, 231, 37]]


def test_lines_are_drawn_where_their_points_are() -> None:
    line = Line([(0, 0), (0.5, 1), (1, 1)], 0, mark=(0.5, 1))
    drawn = str(draw_lines([line], Axes("a <title>", "x", "y", diagonal=True)))
    assert "a &lt;title&gt;" in drawn
    found = re.search(r'<polyline points="([^"]+)"', drawn)
    assert found is not None
    places = [tuple(map(float, pair.split(","))) for pair in found[1].split()]
    assert places == [(46.0, 262.0), (208.0, 10.0), (370.0, 10.0)]
    assert '<circle cx="208.0" cy="10.0"' in drawn


def test_what_lies_beyond_an_axis_is_drawn_on_its_end() -> None:
    drawn = str(draw_lines([Line([(0, 5), (1, 0.5)], 0)], Axes("t", "x", "y")))
    assert 'points="46.0,10.0 370.0,136.0"' in drawn


@pytest.mark.parametrize(
    ("largest", "expected"),
    [(19, 25), (1, 1), (0.73, 1.0), (0.4, 0.5), (99, 100), (7, 10)],
)
def test_axes_end_at_round_numbers(largest: float, expected: float) -> None:
    assert round_end(largest) == pytest.approx(expected)
