"""One shard: handles that are kept open, and what becomes of tiles that cannot be copied."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.tiling.archives import Pixels, cut, read_box
from tiling import cut as module
from tiling.cut import reuse, unreadable_share
from tiling.reader import PatchReader
from wsi import open_slide
from wsi.readers.openslide import OpenSlideSlide
from wsi.synthetic import SvsSpec, write_svs


def made(path: Path, pixels: Pixels, seed: int) -> Path:
    write_svs(path, pixels, 300, SvsSpec(tile_px=128, downsamples=(1,), seed=seed))
    return path


@pytest.mark.parametrize("encoding", ["auto", "raw"])
def test_a_slide_that_was_replaced_is_read_anew(
    tmp_path: Path, tissue_pixels: Pixels, encoding: str
) -> None:
    path = made(tmp_path / "s.svs", tissue_pixels, 1)
    first = PatchReader(cut(tmp_path / "a.zarr", path, encoding=encoding))[0]
    made(tmp_path / "other.svs", tissue_pixels[::-1, ::-1], 2).replace(path)
    store = cut(tmp_path / "a.zarr", path, encoding=encoding, overwrite=True)
    with open_slide(path) as slide:
        for i, (x, y) in enumerate(store.coords.tolist()):
            np.testing.assert_array_equal(PatchReader(store)[i], read_box(slide, x, y, 128))
    assert not np.array_equal(PatchReader(store)[0], first)


def test_the_last_few_slides_stay_open(
    tmp_path: Path, tissue_pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN_SLIDES", 2)
    paths = [made(tmp_path / f"{n}.svs", tissue_pixels, n) for n in range(3)]
    slides = [reuse(OpenSlideSlide(str(path))) for path in paths]
    assert [slide._is_open for slide in slides] == [False, True, True]
    again = OpenSlideSlide(str(paths[1]))
    assert reuse(again) is slides[1]
    again.close()
    other_mpp = OpenSlideSlide(str(paths[1]), mpp=0.3)
    assert reuse(other_mpp) is other_mpp


def test_tiles_that_cannot_be_copied_are_white_and_said(tmp_path: Path, svs: Path) -> None:
    path = tmp_path / "broken.svs"
    path.write_bytes(svs.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        offset, count = page.dataoffsets[10], page.databytecounts[10]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(count))
    store = cut(tmp_path / "a.zarr", path)
    good = PatchReader(cut(tmp_path / "a.zarr", svs, "good"))
    # 9 tiles a row, of which the last hangs over the edge: tile 10 is the second of 8 below
    assert np.flatnonzero(store.status).tolist() == [9]
    assert store.status[9] == 2
    assert (store.attributes["n_unreadable"], store.attributes["n_retried"]) == (1, 0)
    reader = PatchReader(store)
    assert (reader[9] == 255).all()
    for i in set(range(len(store))) - {9}:
        assert reader.encoded(i) == good.encoded(i)


@pytest.mark.parametrize(
    ("status", "share"),
    [([], 0), ([[]], 0), ([[0, 1], [2, 2]], 0.5), ([[0, 0, 0], [2]], 0.25), ([[1, 1]], 0)],
)
def test_only_unreadable_patches_count(status: Any, share: float) -> None:
    assert unreadable_share([np.array(s, np.uint8) for s in status]) == share
