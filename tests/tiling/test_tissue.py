"""Detection on pictures with a known answer, and on the real slides."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.tiling.pictures import EOSIN, HAEMATOXYLIN, UM_PER_PX, ellipse, glass, stain
from tiling.errors import PlanError
from tiling.thresholds import otsu_threshold
from tiling.tissue import TissueMask, TissueOptions, clean, detect_tissue

SHAPE = (300, 400)


def detect(
    picture: NDArray[np.uint8], options: TissueOptions | None = None, um: float | None = UM_PER_PX
) -> TissueMask:
    size = (picture.shape[1] * 20, picture.shape[0] * 20)
    mpp = None if um is None else um / 20
    found = detect_tissue(picture, options or TissueOptions(), slide_size=size, mpp=mpp)
    assert found.mask.shape == picture.shape[:2]
    assert json.loads(json.dumps(found.parameters)) == found.parameters
    return found


def agreement(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return intersection over union."""
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("colour", [EOSIN, HAEMATOXYLIN, (225, 200, 215)], ids=["E", "H", "pale"])
@pytest.mark.parametrize("um", [UM_PER_PX, None])
def test_tissue_on_glass_is_found(colour: tuple[int, int, int], um: float | None) -> None:
    truth = ellipse(SHAPE, (50, 60, 300, 250))
    found = detect(stain(glass(SHAPE), truth, colour), um=um)
    assert agreement(found.mask, truth) > 0.95


def test_tinted_glass_is_no_tissue() -> None:
    truth = ellipse(SHAPE, (50, 60, 300, 250))
    found = detect(stain(glass(SHAPE, (238, 232, 220)), truth, EOSIN))
    assert agreement(found.mask, truth) > 0.95


@pytest.mark.parametrize("value", [255, 244, 200, 0], ids=["white", "glass", "grey", "black"])
def test_a_blank_slide_is_empty_and_says_so(value: int) -> None:
    found = detect(np.full((*SHAPE, 3), value, np.uint8))
    assert found.is_empty
    assert found.parameters["empty"] is True
    assert found.parameters["tissue_fraction"] == 0


def test_noisy_glass_is_empty() -> None:
    assert detect(glass(SHAPE)).is_empty


@pytest.mark.parametrize("padding", [255, 0], ids=["white", "black"])
def test_padding_is_no_tissue(padding: int) -> None:
    truth = ellipse(SHAPE, (50, 60, 250, 250))
    picture = stain(glass(SHAPE), truth, EOSIN)
    picture[:, 280:] = padding
    picture[:40] = padding
    found = detect(picture)
    assert agreement(found.mask, truth) > 0.95
    assert found.parameters["padding_share"] > 0.3


def test_a_picture_full_of_tissue_is_not_split() -> None:
    rng = np.random.default_rng(0)
    picture = np.clip(np.array(EOSIN) + rng.normal(size=(*SHAPE, 1)) * 40, 0, 225).astype(np.uint8)
    found = detect(picture)
    assert found.fraction > 0.99
    assert found.parameters["branch"] == "absorbance"


def test_brown_and_blue_that_average_to_grey_are_tissue() -> None:
    truth = ellipse(SHAPE, (20, 20, 380, 280))
    picture = glass(SHAPE)
    checks = np.indices(SHAPE).sum(axis=0) % 2 == 0
    picture[truth & checks] = (190, 160, 130)
    picture[truth & ~checks] = (130, 160, 190)
    found = detect(picture)
    assert agreement(found.mask, truth) > 0.95


def test_bright_nuclei_on_black_are_tissue_with_what_lies_between() -> None:
    picture = np.zeros((*SHAPE, 3), np.uint8)
    picture[..., 2] = 5
    truth = np.zeros(SHAPE, np.bool_)
    truth[50:250, 80:300] = True
    picture[50:250:3, 80:300:3, 2] = 255
    found = detect(picture, um=4.0)
    assert found.parameters["branch"] == "fluorescence"
    assert agreement(found.mask, truth) > 0.85


def test_holes_are_filled_below_a_physical_size_only() -> None:
    truth = ellipse(SHAPE, (20, 20, 380, 280))
    picture = stain(glass(SHAPE), truth, EOSIN)
    small, large = ellipse(SHAPE, (100, 100, 110, 110)), ellipse(SHAPE, (200, 100, 230, 130))
    picture[small | large] = 243
    options = TissueOptions(max_hole_um2=20_000)  # 139 px of 12 um; the holes have 95 and 757
    found = detect(picture, options).mask
    assert found[105, 105]
    assert not found[115, 215]


def test_small_pieces_are_dropped_by_physical_size() -> None:
    small, large = ellipse(SHAPE, (100, 100, 110, 110)), ellipse(SHAPE, (200, 100, 230, 130))
    picture = stain(glass(SHAPE), small | large, EOSIN)
    found = detect(picture, TissueOptions(min_object_um2=30_000)).mask
    assert not found[105, 105]
    assert found[115, 215]


def test_a_fine_thumbnail_is_reduced_for_the_work_only() -> None:
    truth = ellipse((900, 1601), (100, 100, 900, 700))
    found = detect(stain(glass((900, 1601)), truth, EOSIN), um=1.0)
    assert found.parameters["reduction"] == 4
    assert agreement(found.mask, truth) > 0.97


def test_the_hsv_band_finds_its_colours() -> None:
    truth = ellipse(SHAPE, (50, 60, 200, 250))
    picture = stain(
        stain(glass(SHAPE), truth, EOSIN), ellipse(SHAPE, (220, 60, 380, 250)), (60, 160, 60)
    )
    found = detect(picture, TissueOptions(method="hsv", hsv_hue=(270, 30), exclude_pen=False))
    assert agreement(found.mask, truth) > 0.95


def test_none_takes_everything() -> None:
    assert detect(glass(SHAPE), TissueOptions(method="none")).mask.all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 2), (50, 50)])
@pytest.mark.parametrize("um", [0.01, 100.0, None])
def test_tiny_thumbnails_are_no_trouble(shape: tuple[int, int], um: float | None) -> None:
    detect(glass(shape), um=um)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "mask"}, "tissue method mask needs a path"),
        ({"thumbnail_px": 0}, "thumbnail_px must be positive, got 0"),
        ({"max_hole_um2": -1.0}, "max_hole_um2 must not be negative, got -1"),
        ({"min_object_um2": float("nan")}, "min_object_um2 must not be negative, got nan"),
    ],
)
def test_options_check_themselves(options: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        TissueOptions(**options)  # type: ignore[arg-type]


def slow_clean(mask: NDArray[np.bool_], min_object: float, max_hole: float) -> NDArray[np.bool_]:
    """Flood-fill twin of `clean`."""
    sides = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    corners = [*sides, (1, 1), (1, -1), (-1, 1), (-1, -1)]
    out = mask.copy()
    for piece in components(~mask, sides):
        edge = any(r in (0, mask.shape[0] - 1) or c in (0, mask.shape[1] - 1) for r, c in piece)
        if not edge and len(piece) <= max_hole:
            out[tuple(np.transpose(piece))] = True
    for piece in components(out, corners):
        if len(piece) < min_object:
            out[tuple(np.transpose(piece))] = False
    return out


def components(
    mask: NDArray[np.bool_], steps: list[tuple[int, int]]
) -> list[list[tuple[int, int]]]:
    left = {(int(r), int(c)) for r, c in np.argwhere(mask)}
    pieces = []
    while left:
        stack = [left.pop()]
        piece = []
        while stack:
            row, column = stack.pop()
            piece.append((row, column))
            near = {(row + dr, column + dc) for dr, dc in steps} & left
            left -= near
            stack += near
        pieces.append(piece)
    return pieces


@settings(max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    min_object=st.floats(0, 9),
    max_hole=st.floats(0, 9),
)
def test_cleaning_agrees_with_the_slow_twin(
    seed: int, shape: tuple[int, int], min_object: float, max_hole: float
) -> None:
    mask = np.random.default_rng(seed).random(shape) < 0.6
    np.testing.assert_array_equal(
        clean(mask, min_object, max_hole), slow_clean(mask, min_object, max_hole)
    )


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=60))
def test_otsu_agrees_with_scikit_image(values: list[float]) -> None:
    from skimage.filters import threshold_otsu

    array = np.array(values, np.float32)
    if np.ptp(array) < 1e-3:
        return
    assert otsu_threshold(array) == pytest.approx(float(threshold_otsu(array, nbins=256)), abs=1e-6)


REAL = [
    pytest.param("CMU-1-Small-Region.svs", 0.499, "otsu", (0.34, 0.40), id="skin"),
    pytest.param("TCGA-CR-7395-01A-01-TS1.svs", 0.5, "otsu", (0.60, 0.67), id="frozen section"),
    pytest.param("dicom/bone-jpeg2000-lossless.dcm", 16.78, "otsu", (0.78, 0.84), id="bone marrow"),
    pytest.param("dicom/camelyon-lowres-jpeg.dcm", 28.97, "otsu", (0.21, 0.26), id="lymph node"),
    pytest.param("dicom/sm_image-10px-tiles.dcm", 0.499, "absorbance", (0, 0), id="blank"),
    pytest.param("test3-DAPI-2-387.ndpi", 0.2282, "fluorescence", (0.74, 0.84), id="DAPI"),
    pytest.param("OS-2-ndpi.ome.tif", 0.2271, "absorbance", (0.82, 0.90), id="IHC crop"),
]
"""Masks were looked at as pictures; these shares of tissue are those pictures'."""


@pytest.mark.slides
@pytest.mark.parametrize(("name", "mpp", "branch", "share"), REAL)
def test_masks_of_the_real_slides_are_those_that_were_looked_at(
    slides_folder: Path, name: str, mpp: float, branch: str, share: tuple[float, float]
) -> None:
    thumbnail, size = read_thumbnail(slides_folder / name)
    found = detect_tissue(thumbnail, TissueOptions(), slide_size=size, mpp=mpp)
    assert found.parameters["branch"] == branch
    assert share[0] <= found.fraction <= share[1]
    assert sum(found.parameters.get("pen", {}).get("share", {}).values()) == 0


def read_thumbnail(file: Path) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Return a slide's picture of about 1024 px, and its size."""
    import openslide
    import tiffslide

    opener = tiffslide.TiffSlide if file.name.endswith(".ome.tif") else openslide.OpenSlide
    with opener(file) as slide:
        level = slide.get_best_level_for_downsample(max(1, max(slide.dimensions) / 1024))
        picture = slide.read_region((0, 0), level, slide.level_dimensions[level]).convert("RGB")
        factor = max(1, max(picture.size) // 1024)
        return np.asarray(picture.reduce(factor)), slide.dimensions
