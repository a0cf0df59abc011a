"""Which patches are kept to be looked at."""

import numpy as np

from workflows.segmenting.gallery import Gallery, Shown


def _patch(name: str, *classes: int) -> Shown:
    return Shown(name, np.zeros((9, 1, 4, 3), np.uint8)[0], np.array([classes], np.uint8), {})


def test_classes_take_turns_from_the_lowest_draw_on_in_any_order_of_offers() -> None:
    offers = [
        (0.9, _patch("late", 0, 0, 0, 1)),
        (0.2, _patch("first", 0, 0, 2, 2)),
        (0.5, _patch("second", 0, 2, 2, 2)),  # background is no class
        (0.8, _patch("other", 1, 1, 255, 255)),
        (0.1, _patch("background", 2, 2, 2, 2)),
        (0.1, _patch("nothing", 255, 255, 255, 255)),
    ]
    for order in (offers, offers[::-1]):
        gallery = Gallery(3, 2, seed=0)
        for draw, patch in order:
            gallery.offer(draw, patch)
        assert [patch.name for patch in gallery.chosen()] == ["first", "other", "second"]


def test_no_more_is_held_than_is_wanted_of_each_class() -> None:
    gallery = Gallery(2, 2, seed=0)
    for number, draw in enumerate(gallery.draw(50)):
        gallery.offer(float(draw), _patch(f"{number}", number % 2, 2, 2, 2))
    assert [len(kept) for kept in gallery._kept] == [2, 2]
    assert all(patch.pixels.base is None for patch in gallery.chosen())  # no part of a batch
    none = Gallery(0, 2, seed=0)
    none.offer(0.1, _patch("a", 0, 0, 0, 0))
    assert none.chosen() == []
