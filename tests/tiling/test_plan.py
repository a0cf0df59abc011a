"""What is decided before a pixel is cut."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.tiling.archives import EVERYWHERE, Pixels, options
from tiling.errors import PlanError
from tiling.plan import plan_slide, shard_capacity
from tiling.request import CutOptions, SlideSource, config_hash
from tiling.tissue import TissueOptions
from wsi import MissingMppError, Mpp, UnreadableSlideError
from wsi.readers.openslide import OpenSlideSlide
from wsi.synthetic import write_pyramid

OTSU = TissueOptions(thumbnail_px=300)


def slow_corners(
    width: int, height: int, patch: float, step: float, *, pad: bool = False
) -> list[tuple[int, int]]:
    """Level-0 corners, y then x, of what fits (or, padded, begins) inside."""
    found = []
    for row in range(1000):
        for column in range(1000):
            x, y = column * step, row * step
            if x >= width:
                break
            if pad or (x + patch <= width and y + patch <= height):
                found.append((round(x), round(y)))
        if (row + 1) * step >= height:
            break
    return found


@pytest.mark.parametrize(
    ("changes", "patch", "step", "pad"),
    [
        pytest.param({}, 128, 128, False, id="tiles"),
        pytest.param({"patch_size_px": 100, "stride_px": 60}, 100, 60, False, id="overlap"),
        pytest.param({"mpp": 0.5}, 256, 256, False, id="half"),
        pytest.param({"mpp": 1.0}, 512, 512, False, id="level-1"),
        pytest.param({"pad_edges": True}, 128, 128, True, id="padded"),
        pytest.param({"mpp": 0.6, "patch_size_px": 100}, 240, 240, False, id="fractional"),
    ],
)
def test_coords_are_row_major(
    svs: Path, changes: dict[str, Any], patch: float, step: float, pad: bool
) -> None:
    plan = plan_slide(SlideSource("s", str(svs)), options(**changes))
    expected = slow_corners(1100, 900, patch, step, pad=pad)
    assert list(map(tuple, plan.coords.tolist())) == expected
    assert plan.coords.dtype == np.int32
    assert len(plan) == len(expected) == plan.attributes["n_grid"]
    assert plan.attributes["patch_size_level0"] == [patch, patch]
    assert plan.attributes["stride_level0"] == [step, step]


def test_kept_patches_are_those_with_tissue(cmu_slide: Path) -> None:
    source = SlideSource("s", str(cmu_slide))
    every = plan_slide(source, options(tissue=OTSU, min_tissue=0.0))
    kept = plan_slide(source, options(tissue=OTSU, min_tissue=0.5))
    assert 0 < len(kept) < len(every)
    assert (np.diff(kept.indices) > 0).all()
    expected = np.flatnonzero(every.tissue_fraction >= 0.5)
    np.testing.assert_array_equal(kept.indices, expected)
    np.testing.assert_array_equal(kept.coords, every.coords[expected])
    np.testing.assert_array_equal(kept.tissue_fraction, every.tissue_fraction[expected])
    height, width = kept.tissue_mask.shape
    assert kept.thumbnail.shape == (height, width, 3)
    assert max(height, width) == 300


def test_a_slide_without_tissue_has_no_patches(tmp_path: Path) -> None:
    path = tmp_path / "empty.tif"
    write_pyramid(path, np.full((500, 700, 3), 243, np.uint8), mpp=Mpp(0.5, 0.5))
    plan = plan_slide(SlideSource("s", str(path)), CutOptions(mpp=None, tissue=OTSU))
    assert len(plan) == 0
    assert plan.attributes["n_grid"] == 2
    assert plan.patches_per_shard == 1
    assert plan.bytes_estimate == 0


def test_a_mask_of_the_source_is_used_instead(tmp_path: Path, svs: Path) -> None:
    mask = np.zeros((90, 110), np.uint8)
    mask[:, :55] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    source = SlideSource("s", str(svs), mask=str(tmp_path / "mask.png"))
    plan = plan_slide(source, options(min_tissue=0.99))
    assert list(map(tuple, plan.coords.tolist())) == [
        (x, y) for x, y in slow_corners(1100, 900, 128, 128) if x + 128 <= 550
    ]
    assert plan.attributes["tissue"]["method"] == "mask"


@pytest.mark.parametrize(
    ("changes", "label", "reason"),
    [
        ({}, "passthrough", "patches are the slide's own 128 px tiles"),
        ({"encoding": "lossless"}, "passthrough", "patches are the slide's own 128 px tiles"),
        (
            {"patch_size_px": 100},
            "jpeg:95",
            "patches of 100 px are not the slide's tiles of 128 px",
        ),
        ({"stride_px": 64}, "jpeg:95", "the stride is no multiple"),
        ({"mpp": 0.5}, "jpeg:95", "pixels are reduced 2 x"),
        ({"pad_edges": True}, "jpeg:95", "hang over the edge"),
        ({"pad_edges": True, "encoding": "lossless"}, "lossless", "hang over the edge"),
        ({"encoding": "jpeg:80"}, "jpeg:80", "as asked"),
        ({"encoding": "raw"}, "raw", "as asked"),
    ],
)
def test_the_encoding_has_its_reason(
    svs: Path, changes: dict[str, Any], label: str, reason: str
) -> None:
    plan = plan_slide(SlideSource("s", str(svs)), options(**changes))
    recorded = plan.attributes["encoding"]
    assert recorded["label"] == plan.encoding.label == label
    assert reason in recorded["reason"]
    assert recorded["codec"] == plan.encoding.codec


def test_the_estimate_of_copies_is_what_the_file_has(svs: Path) -> None:
    plan = plan_slide(SlideSource("s", str(svs)), options())
    with OpenSlideSlide(str(svs)) as slide:
        native = slide.native_tiles(0)
        assert native is not None
        kept = sum(int(native.byte_counts[y // 128, x // 128]) for x, y in plan.coords.tolist())
    assert kept <= plan.bytes_estimate <= kept + 1024 * len(plan)


# What cannot be cut.


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"patch_size_px": 2000}, "1100 x 900 px at level 0 hold no patch of 2000 x 2000 px"),
        ({"mpp": 4.0, "patch_size_px": 512}, "275 x 225 px at level 1 hold no patch of 2048 x"),
        ({"mpp": 0.1}, "asked for 0.1 um/px, .* enlarging is refused"),
        ({"encoding": "jpeg:0"}, "encoding must be auto"),
    ],
)
def test_what_cannot_be_cut_is_said(svs: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        plan_slide(SlideSource("s", str(svs)), options(**changes))


def test_a_patch_larger_than_the_slide_can_be_padded(svs: Path) -> None:
    plan = plan_slide(SlideSource("s", str(svs)), options(patch_size_px=2000, pad_edges=True))
    assert plan.coords.tolist() == [[0, 0]]


def test_missing_mpp_says_how_to_give_one(tmp_path: Path, tissue_pixels: Pixels) -> None:
    write_pyramid(tmp_path / "bare.tif", tissue_pixels)
    source = SlideSource("s", str(tmp_path / "bare.tif"))
    with pytest.raises(MissingMppError, match="--slide-mpp"):
        plan_slide(source, options())
    plan = plan_slide(replace(source, mpp=0.3), options())
    assert plan.attributes["mpp"] == {"x": 0.3, "y": 0.3, "origin": "override"}


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSlideError, match="no such file"):
        plan_slide(SlideSource("s", str(tmp_path / "none.svs")), options())


def test_mpp_of_x_and_y_may_differ(tmp_path: Path, tissue_pixels: Pixels) -> None:
    write_pyramid(tmp_path / "xy.tif", tissue_pixels, mpp=Mpp(0.25, 0.4), downsamples=(1,))
    plan = plan_slide(
        SlideSource("s", str(tmp_path / "xy.tif")), options(mpp=0.5, patch_size_px=64)
    )
    known = plan.attributes
    assert known["mpp_effective"] == pytest.approx([0.5, 0.5])
    assert known["reduction"] == pytest.approx([2, 1.25])
    assert known["patch_size_level0"] == pytest.approx([128, 80])
    assert plan.coords.max(axis=0).tolist() == [512, 560]
    assert len(plan) == 5 * 8


def test_the_grid_begins_where_the_bounds_do(svs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = {"bounds-x": 131, "bounds-y": 258, "bounds-width": 640, "bounds-height": 400}
    read = OpenSlideSlide._read_properties
    named = {f"openslide.{name}": str(value) for name, value in bounds.items()}
    monkeypatch.setattr(OpenSlideSlide, "_read_properties", lambda slide: read(slide) | named)
    plan = plan_slide(SlideSource("s", str(svs)), options())
    assert plan.coords[0].tolist() == [131, 258]
    assert plan.coords[-1].tolist() == [131 + 4 * 128, 258 + 2 * 128]
    assert "bounds do not begin on its tile grid" in plan.encoding.reason
    coarse = plan_slide(SlideSource("s", str(svs)), options(mpp=1.0, patch_size_px=32))
    assert coarse.coords[0].tolist() == [132, 260]  # the next whole pixel of a level 4 x coarser
    assert coarse.coords[-1].tolist() == [132 + 3 * 128, 260 + 2 * 128]


# How much a shard holds.


def slow_capacity(sizes: list[int], limit: int) -> int:
    best = 1
    for capacity in range(1, len(sizes) + 1):
        shards = [sum(sizes[i : i + capacity]) for i in range(0, len(sizes), capacity)]
        if max(shards) <= limit:
            best = max(best, capacity)
    return best


@given(st.integers(0, 60), st.integers(1, 30), st.integers(1, 300))
def test_capacity_of_equal_sizes_equals_trying_all(count: int, size: int, limit: int) -> None:
    sizes = [size] * count
    assert shard_capacity(np.array(sizes, np.int64), limit) == slow_capacity(sizes, limit)


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 300))
def test_no_shard_exceeds_the_limit_where_that_can_be(sizes: list[int], limit: int) -> None:
    capacity = shard_capacity(np.array(sizes, np.int64), limit)
    assert 1 <= capacity <= max(1, len(sizes))
    shards = [sum(sizes[i : i + capacity]) for i in range(0, len(sizes), capacity)]
    assert capacity == 1 or max(shards) <= limit
    # a roomier shard may fit where a smaller one does not, so bisection may stop early
    assert capacity <= slow_capacity(sizes, limit)
    smallest = max(sizes, default=0)
    assert capacity >= min(len(sizes), limit // smallest if smallest else len(sizes))


# What the hash covers.

OTHER: dict[str, Any] = {
    "mpp": 1.0,
    "mpp_tolerance": 0.05,
    "patch_size_px": 224,
    "stride_px": 100,
    "min_tissue": 0.3,
    "tissue": TissueOptions(method="hsv"),
    "encoding": "lossless",
    "pad_edges": True,
    "icc": True,
    "reader": "tiffslide",
}
SOURCE = SlideSource("s", "a.svs")


def test_the_hash_changes_with_each_option_that_changes_pixels() -> None:
    names = {field.name for field in fields(CutOptions)} - {"max_unreadable"}
    assert set(OTHER) == names
    hashes = {config_hash(replace(CutOptions(), **{n: OTHER[n]}), SOURCE) for n in names}
    assert len(hashes | {config_hash(CutOptions(), SOURCE)}) == len(names) + 1


def test_the_hash_changes_with_each_field_of_tissue() -> None:
    other: dict[type, Any] = {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v + 0.5}
    hashes = {config_hash(CutOptions(), SOURCE)}
    for field in fields(TissueOptions):
        value = getattr(TissueOptions(), field.name)
        changed = other[type(value)](value) if type(value) in other else "geojson"
        tissue = TissueOptions(**({"path": "m.png", "method": "otsu"} | {field.name: changed}))
        hashes.add(config_hash(CutOptions(tissue=tissue), SOURCE))
    assert len(hashes) == len(fields(TissueOptions)) + 1


def test_the_hash_covers_what_the_manifest_says_of_pixels() -> None:
    same = [replace(SOURCE, patient="p", site="q", label="l", split="train", location="b.svs")]
    other = [replace(SOURCE, mpp=0.5), replace(SOURCE, mask="m.png")]
    base = config_hash(CutOptions(), SOURCE)
    assert [config_hash(CutOptions(), source) for source in same] == [base]
    assert len({config_hash(CutOptions(), source) for source in other} | {base}) == 3


def test_the_hash_does_not_change_with_what_leaves_pixels_alone() -> None:
    base = config_hash(CutOptions(), SOURCE)
    assert config_hash(CutOptions(max_unreadable=0.5), SOURCE) == base
    assert config_hash(CutOptions(stride_px=256), SOURCE) == base


def test_the_hash_is_stable() -> None:
    assert config_hash(CutOptions(tissue=EVERYWHERE), SOURCE) == config_hash(
        CutOptions(tissue=EVERYWHERE), SOURCE
    )
    assert len(config_hash(CutOptions(), SOURCE)) == 16
