"""Damaged files: each opens and reads, or is a SlideError. 240 seeded mutations.

Real slides, where present, add more. All run in this process: in more than 800 trials none of
the native libraries crashed or hung.
"""

import logging
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import tifffile

from tests.wsi.conftest import KnownSlide
from wsi import MissingMppError, RegionError, Slide, SlideError, open_slide
from wsi.contract import region

HEAD = TAIL = 8192


@pytest.fixture(autouse=True)
def _silent_libraries() -> Iterator[None]:
    """Libraries log what they find in damaged files, at length."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def cut(data: bytearray, chance: random.Random) -> bytearray:
    return data[: chance.randrange(1, len(data))]


def flip(data: bytearray, places: list[int], chance: random.Random) -> bytearray:
    for place in places:
        data[place] ^= 1 << chance.randrange(8)
    return data


def mutated(original: bytes, seed: int) -> bytes:
    """By turns: cut short, bits flipped anywhere, in the header, and near the end (TIFF tags)."""
    chance, data = random.Random(seed), bytearray(original)
    length = len(data)
    ranges = {
        1: range(length),
        2: range(min(HEAD, length)),
        3: range(max(0, length - TAIL), length),
    }
    if seed % 4 == 0:
        return bytes(cut(data, chance))
    places = chance.choices(ranges[seed % 4], k=chance.randrange(1, 8))
    return bytes(flip(data, places, chance))


def use(slide: Slide, *, thumbnail: bool) -> None:
    """Everything that a tiler asks of a slide."""
    assert slide.vendor
    assert slide.bounds.size.width > 0
    _ = slide.objective, slide.icc_profile
    with suppress(MissingMppError):
        _ = slide.mpp
    middle = (slide.size.width // 2, slide.size.height // 2)
    for level in slide.levels:
        for x, y in ((0, 0), middle):
            assert slide.read_region(region(x, y, 200, 150, level.index)).shape == (150, 200, 3)
    if thumbnail:
        assert max(slide.thumbnail(100).shape) <= 100
    tiles = slide.native_tiles(0)
    if tiles is not None:
        found = tiles.read_many([(0, 0), (tiles.columns - 1, tiles.rows - 1)])
        _ = [tiles.decode(data) for data in found if isinstance(data, bytes)]
    _ = [image.shape for image in slide.associated.values()]


def mutate_and_use(source: Path, folder: Path, seeds: range, reader: str | None = None) -> int:
    """How many of the mutations were refused; anything but a SlideError fails the test."""
    original, refused = source.read_bytes(), 0
    path = folder / source.name
    for seed in seeds:
        path.write_bytes(mutated(original, seed))
        try:
            with open_slide(path, reader) as slide:
                use(slide, thumbnail=seed % 5 == 0)
        except SlideError:
            refused += 1
    return refused


@pytest.mark.parametrize(
    ("reader", "start", "count"),
    [(None, 0, 60), (None, 1000, 60), ("tiffslide", 2000, 40)],
)
def test_mutations_of_the_bundled_slide(
    cmu_slide: Path, tmp_path: Path, reader: str | None, start: int, count: int
) -> None:
    assert 0 < mutate_and_use(cmu_slide, tmp_path, range(start, start + count), reader) < count


@pytest.mark.parametrize("reader", ["openslide", "tiffslide"])
def test_mutations_of_a_pyramid(pyramid: KnownSlide, tmp_path: Path, reader: str) -> None:
    assert mutate_and_use(Path(pyramid.location), tmp_path, range(40), reader) > 0


@pytest.mark.slides
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("TCGA-CR-7395-01A-01-TS1.svs", 16),
        ("OS-2-ndpi.ome.tif", 40),
        ("test3-DAPI-2-387.ndpi", 24),
        ("masks/pyramidal-tissue-mask/hs2p-test-mask.tif", 60),
        ("dicom/camelyon-lowres-jpeg.dcm", 60),
        ("dicom/bone-jpeg2000-lossless.dcm", 16),
        ("dicom/sm_image-10px-tiles.dcm", 60),
    ],
)
def test_mutations_of_real_slides(
    slides_folder: Path, tmp_path: Path, name: str, count: int
) -> None:
    assert mutate_and_use(slides_folder / name, tmp_path, range(count)) < count


@pytest.mark.parametrize("reader", ["openslide", "tiffslide"])
def test_a_damaged_tile_fails_its_region_and_no_other(
    cmu_slide: Path, tmp_path: Path, reader: str
) -> None:
    path = tmp_path / "damaged.svs"
    data = bytearray(cmu_slide.read_bytes())
    with open_slide(cmu_slide) as slide:
        whole = slide.read_region(region(0, 0, 100, 100))
    with tifffile.TiffFile(cmu_slide) as file:
        page = file.pages.first
        place = page.dataoffsets[3 * -(-page.imagewidth // 240) + 2]  # row 3, column 2
    data[place : place + 80] = bytes(80)
    path.write_bytes(data)
    with open_slide(path, reader) as slide:
        for _ in range(2):
            with pytest.raises(RegionError, match=r"level 0, 240 x 240 px at level-0 \(480, 720\)"):
                slide.read_region(region(480, 720, 240, 240))
            assert (slide.read_region(region(0, 0, 100, 100)) == whole).all()
        assert slide.thumbnail(60).shape == (60, 45, 3)


def test_a_truncated_slide_is_one_sentence(cmu_slide: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.svs"
    path.write_bytes(cmu_slide.read_bytes()[:100_000])
    with pytest.raises(SlideError, match=r"cut\.svs: .*(damaged|cannot be read)") as caught:
        open_slide(path)
    assert "\n" not in str(caught.value)


def test_a_slide_cut_to_its_header_is_unreadable(cmu_slide: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.svs"
    path.write_bytes(cmu_slide.read_bytes()[:6])
    with pytest.raises(SlideError, match=r"cut\.svs"):
        open_slide(path)
