"""Copied tiles without a thread are the same tiles, as long as their file is open."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.slides import direct
from service.slides.direct import DirectSlides, DirectTiles
from service.slides.pyramid import Pyramid, make_pyramid
from service.slides.rendering import Address, copy_tile
from wsi import open_slide


@pytest.fixture
def pyramid(pyramid_slide: Path) -> Pyramid:
    pyramid_slide.read_bytes()  # now the system has it in memory
    with open_slide(pyramid_slide) as slide:
        return make_pyramid(slide)


def test_a_peek_gives_what_is_copied_or_nothing(pyramid_slide: Path, pyramid: Pyramid) -> None:
    tiles = DirectTiles(str(pyramid_slide), "openslide", pyramid)
    with open_slide(pyramid_slide) as slide:
        for level in (12, 11, 10, 8, 0):
            for column in range(3):
                if pyramid.has(level, column, 0):
                    at = Address(level, column, 0)
                    assert tiles.peek(at) in (copy_tile(slide, pyramid, at), None)
    tiles.close()
    assert tiles.peek(Address(12, 0, 0)) is None


def test_the_oldest_are_closed(
    pyramid_slide: Path, pyramid: Pyramid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "MOST_OPEN", 2)
    slides, kept = DirectSlides(), []
    for key in "abc":
        kept.append(DirectTiles(str(pyramid_slide), "openslide", pyramid))
        slides.put(key, kept[-1])
    assert [bool(one._native) for one in kept] == [False, True, True]
    assert slides.get("a") is None
    slides.put("b", kept[2])
    assert not kept[1]._native
    slides.close()
    assert not kept[2]._native


def test_a_file_is_never_read_after_it_was_closed(pyramid_slide: Path, pyramid: Pyramid) -> None:
    at = Address(12, 1, 1)
    with open_slide(pyramid_slide) as slide:
        expected = copy_tile(slide, pyramid, at)
    tiles = DirectTiles(str(pyramid_slide), "openslide", pyramid)
    closed = threading.Event()

    def look() -> bool:
        seen = [tiles.peek(at) for _ in range(300)]
        closed.wait(10)
        return all(one in (expected, None) for one in seen) and tiles.peek(at) is None

    with ThreadPoolExecutor(4) as threads:
        found = [threads.submit(look) for _ in range(4)]
        tiles.close()
        others = [pyramid_slide.open("rb") for _ in range(20)]  # take the descriptor
        closed.set()
        assert all(one.result() for one in found)
        for one in others:
            one.close()
