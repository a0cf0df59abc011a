"""The pool of open slides: bounded, one thread per slide, reopened where a file changed."""

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from service.errors import BusyError
from service.slides.catalogue import Source
from service.slides.pool import SlidePool
from wsi import Point, Region, RegionError, Size, Slide

HERE = Region(Point(240, 240), 0, Size(64, 64))


@pytest.fixture
def sources(tmp_path: Path, cmu_slide: Path) -> list[Source]:
    paths = [tmp_path / f"{number}.svs" for number in range(4)]
    for path in paths:
        shutil.copyfile(cmu_slide, path)
    return [Source(str(path), "openslide") for path in paths]


def test_a_slide_that_is_given_back_is_used_again(sources: list[Source]) -> None:
    pool = SlidePool(4)
    with pool.borrow(sources[0]) as first:
        pass
    with pool.borrow(sources[0]) as again:
        assert again is first
        with pool.borrow(sources[0]) as other:
            assert other is not first
    assert pool.open_count == 2
    pool.close()


def test_the_slide_that_was_used_least_recently_is_closed(sources: list[Source]) -> None:
    pool = SlidePool(2)
    met = []
    for source in (sources[0], sources[1], sources[0], sources[2]):
        with pool.borrow(source) as slide:
            met.append(slide)
    assert pool.open_count == 2
    assert [slide._is_open for slide in met] == [True, False, True, True]
    with pool.borrow(sources[0]) as slide:
        assert slide is met[0]
    pool.close()
    assert pool.open_count == 0


def test_who_waits_too_long_is_told_to_come_again(sources: list[Source]) -> None:
    pool = SlidePool(1, wait_s=0.05)
    with (
        pool.borrow(sources[0]),
        pytest.raises(BusyError, match="in use") as found,
        pool.borrow(sources[1]),
    ):
        pass
    assert found.value.retry_after_s > 0
    with pool.borrow(sources[1]):
        assert pool.open_count == 1
    pool.close()


def test_who_waits_gets_the_slide_that_is_given_back(sources: list[Source]) -> None:
    pool = SlidePool(1, wait_s=10)
    taken = threading.Event()

    def hold() -> None:
        with pool.borrow(sources[0]):
            taken.set()
            time.sleep(0.1)

    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(hold)
        taken.wait()
        with pool.borrow(sources[1]) as slide:
            assert held.done() or pool.open_count == 1
            slide.read_region(HERE)
    pool.close()


def test_a_file_that_changed_is_opened_anew(sources: list[Source], pyramid_slide: Path) -> None:
    pool = SlidePool(4)
    with pool.borrow(sources[0]) as slide:
        assert slide.size == Size(2220, 2967)
    Path(sources[0].location).unlink()
    shutil.copyfile(pyramid_slide, sources[0].location)
    with pool.borrow(sources[0]) as slide:
        assert slide.size == Size(2560, 2560)
    pool.close()


def test_a_slide_that_met_damage_is_not_used_again(sources: list[Source]) -> None:
    pool = SlidePool(4)
    with pytest.raises(RegionError, match="hurt"), pool.borrow(sources[0]) as first:
        raise RegionError("hurt")
    assert pool.open_count == 0
    assert not first._is_open
    with pool.borrow(sources[0]) as again:
        assert again is not first
    pool.close()


def test_what_cannot_be_opened_takes_no_place(sources: list[Source], tmp_path: Path) -> None:
    pool = SlidePool(1)
    (tmp_path / "bad.svs").write_bytes(b"no slide")
    for _ in range(3):
        with (
            pytest.raises(ValueError, match="does not know"),
            pool.borrow(Source(str(tmp_path / "bad.svs"), "openslide")),
        ):
            pass
    with pool.borrow(sources[0]):
        assert pool.open_count == 1
    pool.close()


def test_a_picture_is_open_once_at_most(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    pool, source = SlidePool(8, wait_s=0.05), Source(str(tmp_path / "a.png"), "image", (1.0, 1.0))
    with pool.borrow(source), pytest.raises(BusyError), pool.borrow(source):
        pass
    pool.close()


def test_many_threads_never_share_a_slide_and_never_exceed_the_bound(
    sources: list[Source], cmu_slide: Path
) -> None:
    pool, lock = SlidePool(3, wait_s=30), threading.Lock()
    using: set[Slide] = set()
    most = 0
    with pool.borrow(sources[0]) as slide:
        expected = slide.read_region(HERE)

    def use(number: int) -> bool:
        nonlocal most
        with pool.borrow(sources[number % 4]) as slide:
            with lock:
                assert slide not in using
                using.add(slide)
                most = max(most, len(using), pool.open_count)
            found = slide.read_region(HERE)
            with lock:
                using.remove(slide)
        return np.array_equal(found, expected)

    with ThreadPoolExecutor(12) as threads:
        assert all(threads.map(use, range(300)))
    assert most <= 3
    pool.close()


def test_slides_come_back_to_a_closed_pool_closed(sources: list[Source]) -> None:
    pool = SlidePool(4)
    with pool.borrow(sources[0]) as slide:
        pool.close()
        assert slide._is_open
    assert not slide._is_open
