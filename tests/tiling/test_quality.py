"""Pen strokes and padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiling.pictures import (
    EOSIN,
    HAEMATOXYLIN,
    INKS,
    UM_PER_PX,
    draw_ink,
    ellipse,
    glass,
    stain,
)
from tiling.quality import find_padding, hsv, in_band
from tiling.tissue import TissueMask, TissueOptions, detect_tissue

SHAPE = (500, 800)
TISSUE = ellipse(SHAPE, (300, 80, 600, 420))


def detect(picture: np.ndarray, *, exclude_pen: bool = True) -> TissueMask:
    options = TissueOptions(exclude_pen=exclude_pen)
    return detect_tissue(picture, options, slide_size=(800, 500), mpp=UM_PER_PX)


@pytest.mark.parametrize("ink", list(INKS))
@pytest.mark.parametrize("colour", [EOSIN, HAEMATOXYLIN], ids=["E", "H"])
def test_pen_strokes_are_left_out_and_tissue_is_kept(
    ink: str, colour: tuple[int, int, int]
) -> None:
    picture = draw_ink(stain(glass(SHAPE), TISSUE, colour), INKS[ink], [(60, 60), (200, 420)])
    found = detect(picture)
    assert not found.mask[:, :250].any()
    assert found.mask[TISSUE].mean() > 0.97
    assert found.parameters["pen"]["share"][ink] > 0.02


@pytest.mark.parametrize("ink", ["blue", "green", "red"])
def test_pen_is_tissue_where_that_is_asked_for(ink: str) -> None:
    picture = draw_ink(stain(glass(SHAPE), TISSUE, EOSIN), INKS[ink], [(60, 60), (200, 420)])
    assert detect(picture, exclude_pen=False).mask[:, :250].any()


@pytest.mark.parametrize("ink", list(INKS))
def test_a_slide_with_pen_alone_is_empty(ink: str) -> None:
    assert detect(draw_ink(glass(SHAPE), INKS[ink], [(60, 60), (200, 420)])).is_empty


def test_blue_haematoxylin_is_no_pen() -> None:
    found = detect(stain(glass(SHAPE), TISSUE, HAEMATOXYLIN))
    assert found.mask[TISSUE].mean() > 0.99
    assert sum(found.parameters["pen"]["share"].values()) == 0


def test_black_bone_inside_tissue_is_no_pen() -> None:
    picture = stain(glass(SHAPE), TISSUE, EOSIN)
    picture[200:260, 400:480] = (5, 10, 21)
    assert detect(picture).mask[TISSUE].mean() > 0.99


def test_padding_is_exact_white_or_exact_black() -> None:
    rgb = np.array([[255, 254, 0, 1], [255, 255, 0, 0], [255, 255, 0, 0]], np.float32)[:, None]
    assert find_padding(rgb).tolist() == [[True, False, True, False]]


@settings(max_examples=50)
@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_hsv_agrees_with_colorsys(colour: tuple[int, int, int]) -> None:
    import colorsys

    hue, saturation, value = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
    ours = [float(p[0, 0]) for p in hsv(np.array(colour, np.float32).reshape(3, 1, 1))]
    gap = abs(ours[0] - hue * 360) % 360
    assert min(gap, 360 - gap) < 0.01
    assert ours[1:] == pytest.approx([saturation, value], abs=1e-5)


def test_a_hue_band_wraps() -> None:
    hues = np.array([[350, 10, 90]], np.float32)
    ones = np.ones((1, 3), np.float32)
    assert in_band((hues, ones, ones), (340, 20), (0, 1), (0, 1)).tolist() == [[True, True, False]]
    assert in_band((hues, ones, ones), (5, 95), (0, 1), (0, 1)).tolist() == [[False, True, True]]
