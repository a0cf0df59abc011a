"""Bad slides among good ones: each has its outcome and a sentence; the good ones are as ever."""

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from tests.tiling.faults.conftest import COPYING, Cut
from tests.tiling.faults.harness import (
    assert_committed_is_whole,
    assert_same,
    snapshot,
)
from tiling.collect import collect_slides
from tiling.errors import ConflictError, ManifestError, StoreError
from tiling.index import read_index
from tiling.reader import PatchReader
from tiling.request import CutOptions
from tiling.store import Archive, PatchStore
from tiling.tissue import TissueOptions
from tiling.verify import verify_store
from wsi import open_slide
from wsi.geometry import Mpp
from wsi.synthetic import SvsSpec, grid_pattern, write_pyramid, write_svs

NO_TISSUE = TissueOptions(method="none", thumbnail_px=256)
EVERYTHING = CutOptions(mpp=None, min_tissue=0.0, tissue=NO_TISSUE)
DECODING = replace(EVERYTHING, encoding="jpeg:90")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> Path:
    """A slide of 16 tiles, all of which are patches."""
    path = tmp_path_factory.mktemp("good") / "good.svs"
    spec = SvsSpec(mpp=0.5, downsamples=(1, 4), tissue_fraction=1.0, with_associated=False)
    write_svs(path, cmu_slide, 1024, spec)
    return path


def damage_tiles(slide: Path, into: Path, numbers: Iterable[int]) -> str:
    """Copy a slide with the compressed bytes of some tiles of level 0 overwritten."""
    data = bytearray(slide.read_bytes())
    with tifffile.TiffFile(slide) as tiff:
        page = tiff.pages[0]
        for number in numbers:
            start, count = page.dataoffsets[number], page.databytecounts[number]
            data[start : start + count] = b"\xff\xd9" * (count // 2) + b"\0" * (count % 2)
    into.write_bytes(data)
    return str(into)


def opened(archive: Path, slide_id: str) -> PatchStore:
    return Archive.open(str(archive))[slide_id]


def write_text(path: Path) -> None:
    path.write_text("Not a slide, but a letter.\n" * 100)


def write_nothing(path: Path) -> None:
    path.touch()


def write_picture(path: Path) -> None:
    Image.fromarray(grid_pattern(600, 600)).save(path, "TIFF")


def write_small(path: Path) -> None:
    write_pyramid(path, grid_pattern(200, 100), mpp=Mpp(0.5, 0.5), downsamples=(1,))


def write_coarse(path: Path) -> None:
    write_pyramid(path, grid_pattern(900, 900), mpp=Mpp(2.0, 2.0), downsamples=(1,))


MAKE = {
    "text": (write_text, "UnsupportedSlideError", "not a"),
    "empty": (write_nothing, "UnreadableSlideError", "the file is empty"),
    "gone": (lambda path: None, "UnreadableSlideError", "no such file"),
    "folder": (Path.mkdir, "UnreadableSlideError", "is a folder"),
    "no mpp": (write_picture, "MissingMppError", "--slide-mpp"),
    "too small": (write_small, "PlanError", "hold no patch of 256 x 256 px"),
    "too coarse": (write_coarse, "PlanError", "2"),
}


def test_every_bad_slide_has_its_sentence_and_the_good_one_is_cut(
    good: Path, tmp_path: Path, cut: Cut
) -> None:
    slides = {"good": str(good)}
    for number, (write, _, _) in enumerate(MAKE.values()):
        path = tmp_path / f"bad-{number}.tif"
        write(path)
        slides[path.stem] = str(path)
    summary = cut(tmp_path / "a.zarr", slides, replace(COPYING, mpp=0.5))
    outcomes = {outcome.slide_id: outcome for outcome in summary.outcomes}
    assert outcomes.pop("good").state == "done"
    for outcome, (_, cause, words) in zip(outcomes.values(), MAKE.values(), strict=True):
        assert (outcome.state, outcome.cause) == ("failed", cause), outcome
        assert words in outcome.error
        assert "\n" not in outcome.error
    assert assert_committed_is_whole(tmp_path / "a.zarr") == ["good"]
    cut(tmp_path / "b.zarr", {"good": str(good)}, replace(COPYING, mpp=0.5))
    assert_same(tmp_path / "a.zarr", tmp_path / "b.zarr")


def test_of_a_truncated_slide_nothing_wrong_is_kept(
    cmu_slide: Path, tmp_path: Path, cut: Cut
) -> None:
    data, slides = cmu_slide.read_bytes(), {"whole": str(cmu_slide)}
    for percent in (1, 30, 60, 90, 99):
        path = tmp_path / f"first-{percent}-percent.svs"
        path.write_bytes(data[: len(data) * percent // 100])
        slides[path.stem] = str(path)
    whole, *truncated = cut(tmp_path / "a.zarr", slides, DECODING).outcomes
    assert {outcome.state for outcome in truncated} == {"failed", "done"}
    assert all(outcome.error for outcome in truncated if outcome.state == "failed")
    archive = Archive.open(str(tmp_path / "a.zarr"))
    wanted = PatchReader(archive["whole"])
    for slide_id in archive.slide_ids():
        found = PatchReader(archive[slide_id])
        assert len(found) == whole.patches
        for number in np.flatnonzero(archive[slide_id].status == 0):
            assert found.encoded(number) == wanted.encoded(number)


@pytest.mark.slow
def test_flipped_bits_are_never_more_than_a_failed_slide(
    cmu_slide: Path, tmp_path: Path, cut: Cut
) -> None:
    data, slides = cmu_slide.read_bytes(), {"good": str(cmu_slide)}
    for seed in range(12):
        chance, damaged = random.Random(seed), bytearray(data)
        for _ in range(chance.choice((1, 8, 64))):
            # every other slide is hit in its directories, which are at the end
            first = 0 if seed % 2 else len(data) - 20_000
            damaged[chance.randrange(first, len(data))] ^= 1 << chance.randrange(8)
        path = tmp_path / f"flipped-{seed}.svs"
        path.write_bytes(damaged)
        slides[path.stem] = str(path)
    summary = cut(tmp_path / "a.zarr", slides, replace(DECODING, patch_size_px=512))
    assert summary.outcomes[0].state == "done"
    assert all(outcome.error for outcome in summary.outcomes if outcome.state == "failed")
    whole = assert_committed_is_whole(tmp_path / "a.zarr")
    assert whole == sorted(o.slide_id for o in summary.outcomes if o.state == "done")
    assert not (tmp_path / "a.zarr" / ".microtome").exists()


@pytest.mark.parametrize("options", [EVERYTHING, DECODING], ids=["copied", "decoded"])
def test_an_unreadable_tile_costs_its_own_patch_only(
    options: CutOptions, good: Path, tmp_path: Path, cut: Cut
) -> None:
    damaged = damage_tiles(good, tmp_path / "damaged.svs", [5])
    cut(tmp_path / "good.zarr", {"slide": str(good)}, options)
    (outcome,) = cut(tmp_path / "a.zarr", {"slide": damaged}, options).outcomes
    assert (outcome.state, outcome.patches, outcome.unreadable) == ("done", 16, 1)
    store, wanted = opened(tmp_path / "a.zarr", "slide"), opened(tmp_path / "good.zarr", "slide")
    assert store.attributes["encoding"]["label"] == wanted.attributes["encoding"]["label"]
    assert store.status.tolist() == [2 if number == 5 else 0 for number in range(16)]
    assert store.attributes["n_unreadable"] == 1
    assert read_index(Archive.open(str(tmp_path / "a.zarr")))[0]["n_unreadable"] == 1
    found, expected = PatchReader(store), PatchReader(wanted)
    assert (found[5] == 255).all()
    for number in set(range(16)) - {5}:
        assert found.encoded(number) == expected.encoded(number)
    assert verify_store(store) == []


def test_a_reduced_patch_is_unreadable_when_one_of_its_tiles_is(
    good: Path, tmp_path: Path, cut: Cut
) -> None:
    damaged = damage_tiles(good, tmp_path / "damaged.svs", [0])
    options = replace(EVERYTHING, mpp=1.0, max_unreadable=0.5)
    (outcome,) = cut(tmp_path / "a.zarr", {"slide": damaged}, options).outcomes
    assert (outcome.state, outcome.patches, outcome.unreadable) == ("done", 4, 1)
    assert opened(tmp_path / "a.zarr", "slide").status.tolist() == [2, 0, 0, 0]


def test_a_region_that_openslide_cannot_read_costs_no_other(tmp_path: Path, cut: Cut) -> None:
    """OpenSlide refuses everything after its first error; a new handle reads the rest."""
    path = tmp_path / "deflated.tif"
    write_pyramid(path, grid_pattern(1024, 1024), codec="deflate", mpp=Mpp(0.5, 0.5))
    damaged = damage_tiles(path, tmp_path / "damaged.tif", [6])
    options = replace(EVERYTHING, encoding="lossless", reader="openslide")
    (outcome,) = cut(tmp_path / "a.zarr", {"slide": damaged}, options).outcomes
    assert (outcome.state, outcome.patches, outcome.unreadable) == ("done", 16, 1)
    store = opened(tmp_path / "a.zarr", "slide")
    assert store.status.tolist() == [2 if number == 6 else 0 for number in range(16)]
    last = PatchReader(store)[15]
    assert np.array_equal(last, grid_pattern(1024, 1024)[768:, 768:])


def test_too_many_unreadable_patches_fail_the_slide(good: Path, tmp_path: Path, cut: Cut) -> None:
    damaged = damage_tiles(good, tmp_path / "damaged.svs", [1, 2])
    (outcome,) = cut(tmp_path / "a.zarr", {"slide": damaged}, EVERYTHING).outcomes
    assert (outcome.state, outcome.cause) == ("failed", "DamagedSlideError")
    assert "12.5% of the patches are unreadable, 10.0% are allowed; the first: " in outcome.error
    assert sorted(snapshot(tmp_path / "a.zarr")) == ["slides.parquet", "zarr.json"]
    allowed = replace(EVERYTHING, max_unreadable=0.2)
    (outcome,) = cut(tmp_path / "a.zarr", {"slide": damaged}, allowed).outcomes
    assert (outcome.state, outcome.unreadable) == ("done", 2)


def test_a_slide_without_tissue_is_committed_with_no_patch(tmp_path: Path, cut: Cut) -> None:
    white = np.full((1024, 1024, 3), 244, np.uint8)
    write_pyramid(tmp_path / "glass.tif", white, mpp=Mpp(0.5, 0.5))
    (outcome,) = cut(tmp_path / "a.zarr", {"glass": str(tmp_path / "glass.tif")}, COPYING).outcomes
    assert (outcome.state, outcome.patches) == ("done", 0)
    store = opened(tmp_path / "a.zarr", "glass")
    assert (store.attributes["n_patches"], store.attributes["n_grid"]) == (0, 16)
    assert store.coords.shape == (0, 2)
    assert not store.tissue_mask.any()
    assert len(PatchReader(store)) == 0
    assert PatchReader(store).read([]).shape == (0, 256, 256, 3)
    assert assert_committed_is_whole(tmp_path / "a.zarr") == ["glass"]
    patches = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")["glass/patches"]
    assert patches.shape == (0, 256, 256, 3)
    assert read_index(Archive.open(str(tmp_path / "a.zarr")))[0]["n_patches"] == 0


def test_pixels_that_are_not_square_become_square_patches(tmp_path: Path, cut: Cut) -> None:
    base = grid_pattern(512, 1024)
    path = tmp_path / "tall.tif"
    write_pyramid(path, base, mpp=Mpp(0.5, 0.25), downsamples=(1,))
    options = replace(EVERYTHING, mpp=0.5, encoding="lossless")
    cut(tmp_path / "a.zarr", {"tall": str(path)}, options)
    store = opened(tmp_path / "a.zarr", "tall")
    assert store.attributes["mpp_effective"] == [0.5, 0.5]
    assert store.attributes["patch_size_level0"] == [256, 512]
    assert store.coords.tolist() == [[0, 0], [256, 0], [0, 512], [256, 512]]
    mean = base[512:, 256:].reshape(256, 2, 256, 3).mean(axis=1)
    assert np.abs(PatchReader(store)[3] - mean).max() <= 0.5


def test_a_slide_of_one_level_is_cut_like_its_pyramid(tmp_path: Path, cut: Cut) -> None:
    base = grid_pattern(1000, 800)
    for name, downsamples in {"one": (1,), "many": (1, 2, 4)}.items():
        path = tmp_path / f"{name}.tif"
        write_pyramid(path, base, mpp=Mpp(0.25, 0.25), downsamples=downsamples)
        options = replace(EVERYTHING, mpp=0.5, encoding="lossless", patch_size_px=128)
        cut(tmp_path / "a.zarr", {name: str(path)}, options)
    one, many = (opened(tmp_path / "a.zarr", name) for name in ("one", "many"))
    assert (one.attributes["level"], many.attributes["level"]) == (0, 1)
    assert np.array_equal(one.coords, many.coords)
    assert np.array_equal(np.stack([*PatchReader(one)]), np.stack([*PatchReader(many)]))


def test_one_name_in_two_folders_is_refused_before_any_work(
    good: Path, tmp_path: Path, cut: Cut
) -> None:
    paths = [tmp_path / folder / "slide.svs" for folder in ("left", "right")]
    for path in paths:
        path.parent.mkdir()
        path.symlink_to(good)
    with pytest.raises(ManifestError, match=r"left/slide\.svs.*right/slide\.svs"):
        collect_slides([str(path) for path in paths])
    both = {"slide": str(paths[0]), "SLIDE": str(paths[1])}
    with pytest.raises(ManifestError, match=r"left/slide\.svs.*right/slide\.svs"):
        cut(tmp_path / "a.zarr", both, EVERYTHING)
    assert sorted(snapshot(tmp_path / "a.zarr")) == ["zarr.json"]


def test_another_configuration_is_a_conflict_that_changes_nothing(
    good: Path, tmp_path: Path, cut: Cut
) -> None:
    archive, slides = tmp_path / "a.zarr", {"one": str(good), "two": str(good)}
    cut(archive, slides, EVERYTHING)
    before = snapshot(archive)
    with pytest.raises(ConflictError, match=r"one was cut with other options; two .*--overwrite"):
        cut(archive, slides, DECODING)
    assert snapshot(archive) == before
    states = [o.state for o in cut(archive, slides, DECODING, overwrite=True).outcomes]
    assert states == ["done", "done"]
    cut(tmp_path / "b.zarr", slides, DECODING)
    assert_same(archive, tmp_path / "b.zarr")


def test_an_overwrite_that_fails_leaves_the_old_version(
    good: Path, tmp_path: Path, cut: Cut
) -> None:
    archive, path = tmp_path / "a.zarr", tmp_path / "slide.svs"
    path.write_bytes(good.read_bytes())
    cut(archive, {"slide": str(path)}, EVERYTHING)
    before = snapshot(archive)
    damage_tiles(good, path, range(16))
    (outcome,) = cut(archive, {"slide": str(path)}, EVERYTHING, overwrite=True).outcomes
    assert outcome.state == "failed"
    assert snapshot(archive) == before


def test_a_folder_that_is_no_archive_is_left_alone(good: Path, tmp_path: Path, cut: Cut) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "other.zarr").mkdir()
    (tmp_path / "other.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    before = snapshot(tmp_path)
    for name, words in {
        "photos": "exists and is no archive",
        "file": "is a file, and no archive",
        "other.zarr": "is no archive of format 1",
    }.items():
        with pytest.raises(StoreError, match=words):
            cut(tmp_path / name, {"good": str(good)}, EVERYTHING)
    assert snapshot(tmp_path) == before


def test_the_slide_itself_is_never_written(good: Path, tmp_path: Path, cut: Cut) -> None:
    before = (good.stat().st_mtime_ns, good.read_bytes())
    cut(tmp_path / "a.zarr", {"good": str(good)}, EVERYTHING)
    assert (good.stat().st_mtime_ns, good.read_bytes()) == before
    with open_slide(good) as slide:
        assert slide.retries == 0
