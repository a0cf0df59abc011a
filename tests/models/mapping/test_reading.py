"""Windows are what the slide shows, in order, whatever the threads."""

import threading
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from models.mapping.planning import SlideMapPlan
from models.mapping.reading import WindowSource, ahead, strips
from tests.tiling.networks import plan_over
from tiling.pixels import Footprint
from wsi import Point, Region, Size, open_slide

SIDE = 64


def plan_of(corners: np.ndarray) -> SlideMapPlan:
    footprint = Footprint(SIDE, SIDE, SIDE, 0, 1.0)
    return SlideMapPlan(
        plan_over(100, 100), footprint, np.arange(len(corners)), corners.astype(np.float64)
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_hold_what_the_slide_shows(cmu_slide: Path, threads: int) -> None:
    corners = np.array([(x, y) for y in (0, 48, 96) for x in range(0, 2200, 300)])
    with open_slide(str(cmu_slide)) as slide:
        source = WindowSource(slide, plan_of(corners), threads)
        found = list(source.batches([range(5, 12), range(12, 19), range(19, 24)]))
        wanted = [
            slide.read_region(Region(Point(int(x), int(y)), 0, Size(SIDE, SIDE)))
            for x, y in corners[5:]
        ]
    assert [part for part, _ in found] == [range(5, 12), range(12, 19), range(19, 24)]
    pixels = np.concatenate([batch.numpy() for _, batch in found])
    assert pixels.shape == (19, SIDE, SIDE, 3)
    # the last column hangs over the slide's edge, where one pads white and the other as it likes
    inside = corners[5:, 0] + SIDE <= 2220
    np.testing.assert_array_equal(pixels[inside], np.stack(wanted)[inside])


def test_strips_have_whole_columns_and_about_equal_parts() -> None:
    x = np.tile(np.arange(12) * 48.0, 7)
    found = strips(x, 4)
    assert np.bincount(found).tolist() == [21, 21, 21, 21]
    assert all(len(set(found[x == column])) == 1 for column in x)
    assert (np.diff(found[:12]) >= 0).all()
    assert strips(x, 1).tolist() == [0] * len(x)
    assert set(strips(np.zeros(5), 4).tolist()) == {0}
    assert len(strips(np.zeros(0), 4)) == 0


def test_what_runs_ahead_gives_all_in_order_and_then_the_error() -> None:
    def source() -> Generator[int, None, None]:
        yield from range(5)
        raise ValueError("the end")

    found = []
    with pytest.raises(ValueError, match="the end"):
        found.extend(iter_into(found, ahead(source(), 2)))
    assert found == [0, 1, 2, 3, 4]


def iter_into(found: list[int], items: Generator[int, None, None]) -> list[int]:
    for item in items:
        found.append(item)
    return []


def test_a_reader_that_is_not_wanted_any_more_ends_and_closes_its_source() -> None:
    taken, closed = [], threading.Event()

    def source() -> Generator[int, None, None]:
        try:
            for number in range(1000):
                taken.append(number)
                yield number
        finally:
            closed.set()

    items = ahead(source(), 2)
    assert next(items) == 0
    items.close()
    assert closed.wait(10)
    assert len(taken) < 10
