"""Masks that are given, as pictures and as GeoJSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tiling.errors import PlanError
from tiling.masks import fill_rings, read_geojson, read_mask
from tiling.tissue import TissueOptions, detect_tissue

PICTURE = np.zeros((40, 60, 3), np.uint8)
SLIDE = (600, 400)


def checks(shape: tuple[int, int]) -> NDArray[np.bool_]:
    return np.random.default_rng(0).random(shape) < 0.5


def slow_sample(mask: NDArray[np.bool_], shape: tuple[int, int]) -> list[list[bool]]:
    """Look up the pixel under the centre of each pixel of the grid."""
    h, w = mask.shape
    rows = [int((r + 0.5) * h / shape[0]) for r in range(shape[0])]
    columns = [int((c + 0.5) * w / shape[1]) for c in range(shape[1])]
    return [[bool(mask[r, c]) for c in columns] for r in rows]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_a_png_of_any_kind_is_sampled_at_pixel_centres(tmp_path: Path, mode: str) -> None:
    mask = checks((37, 55))
    file = tmp_path / "m.png"
    image = Image.fromarray(mask.astype(np.uint8) * 255).convert(mode)
    image.save(file)
    assert read_mask(file, (40, 60), SLIDE).tolist() == slow_sample(mask, (40, 60))


@pytest.mark.parametrize("tile", [None, (16, 16)], ids=["strips", "tiles"])
@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.uint16])
def test_a_tiff_is_sampled_at_pixel_centres(
    tmp_path: Path, tile: tuple[int, int] | None, dtype: type
) -> None:
    mask = checks((200, 300))
    file = tmp_path / "m.tif"
    tifffile.imwrite(file, mask.astype(dtype), tile=tile)
    assert read_mask(file, (40, 60), SLIDE).tolist() == slow_sample(mask, (40, 60))


@pytest.mark.parametrize(("shape", "level"), [((80, 120), 0), ((40, 60), 1), ((10, 15), 2)])
def test_the_coarsest_level_that_is_fine_enough_is_read(
    tmp_path: Path, shape: tuple[int, int], level: int
) -> None:
    file = tmp_path / "m.tif"
    levels = [checks((h, h * 3 // 2)) for h in (80, 40, 20)]
    with tifffile.TiffWriter(file) as tiff:
        tiff.write(levels[0].astype(np.uint8), subifds=2, tile=(16, 16))
        for part in levels[1:]:
            tiff.write(part.astype(np.uint8), subfiletype=1, tile=(16, 16))
    assert read_mask(file, shape, SLIDE).tolist() == slow_sample(levels[level], shape)


def test_the_real_pyramid_of_a_mask_is_read(slides_folder: Path) -> None:
    file = slides_folder / "masks/pyramidal-tissue-mask/hs2p-test-mask.tif"
    whole = tifffile.imread(file) != 0
    found = read_mask(file, (600, 648), (864 * 16, 800 * 16))
    assert found.tolist() == slow_sample(whole, (600, 648))


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(PlanError, match="is 40 x 40 px, not the shape of a slide of 600 x 400 px"):
        read_mask(tmp_path / "m.png", (40, 60), SLIDE)


@pytest.mark.parametrize("name", ["m.png", "m.tif"])
@pytest.mark.parametrize("content", [b"", b"no picture", b"II*\0\x08\0\0\0"])
def test_a_damaged_mask_says_so(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PlanError, match=f"cannot read the mask .*{name}"):
        read_mask(tmp_path / name, (40, 60), SLIDE)


def test_a_folder_gives_the_mask_of_the_slide(tmp_path: Path) -> None:
    mask = checks((40, 60))
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "S1.png")
    options = TissueOptions(method="mask", path=str(tmp_path))
    found = detect_tissue(PICTURE, options, slide_size=SLIDE, slide_id="S1")
    assert (found.mask == mask).all()
    assert found.parameters["file"] == str(tmp_path / "S1.png")
    with pytest.raises(PlanError, match=r"no mask for slide S2 in .*\.tif, \.tiff, \.png"):
        detect_tissue(PICTURE, options, slide_size=SLIDE, slide_id="S2")


def test_a_missing_mask_says_so(tmp_path: Path) -> None:
    options = TissueOptions(method="mask", path=str(tmp_path / "none.tif"))
    with pytest.raises(PlanError, match="no such mask"):
        detect_tissue(PICTURE, options, slide_size=SLIDE)


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


POLYGON = {"type": "Polygon", "coordinates": [square(100, 100, 200), square(150, 150, 50)]}
MULTI = {"type": "MultiPolygon", "coordinates": [POLYGON["coordinates"], [square(400, 50, 100)]]}
POINT = {"type": "Point", "coordinates": [5, 5]}


def feature(geometry: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": {}}


@pytest.mark.parametrize(
    ("content", "ignored"),
    [
        pytest.param(MULTI, 0, id="geometry"),
        pytest.param(feature(MULTI), 0, id="feature"),
        pytest.param(
            {
                "type": "FeatureCollection",
                "features": [feature(MULTI), feature(POINT), feature(None)],
            },
            1,
            id="collection",
        ),
        pytest.param([feature(MULTI), feature(POLYGON)], 0, id="list, overlapping"),
        pytest.param(
            {"type": "GeometryCollection", "geometries": [POINT, MULTI]}, 1, id="geometries"
        ),
    ],
)
def test_geojson_of_every_kind_is_filled_with_its_holes(
    tmp_path: Path, content: Any, ignored: int
) -> None:
    file = tmp_path / "s.geojson"
    file.write_text(json.dumps(content))
    mask, counts = read_geojson(file, (40, 60), SLIDE)
    expected = np.zeros((40, 60), np.bool_)
    expected[10:30, 10:30] = True
    expected[15:20, 15:20] = False
    expected[5:15, 40:50] = True
    assert (mask == expected).all()
    assert counts["geometries_ignored"] == ignored


def test_no_polygon_is_no_tissue(tmp_path: Path) -> None:
    (tmp_path / "S1.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    options = TissueOptions(method="geojson", path=str(tmp_path))
    found = detect_tissue(PICTURE, options, slide_size=SLIDE, slide_id="S1")
    assert found.is_empty
    assert found.parameters["polygons"] == 0


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "3",
        '{"type": "Polygon"}',
        '{"type": "Polygon", "coordinates": [[["a", 1]]]}',
        '{"type": "Polygon", "coordinates": [[[NaN, 1], [2, 2], [3, 3]]]}',
        '{"type": "Polygon", "coordinates": [[1, 2, 3]]}',
        '{"type": "Circle", "coordinates": []}',
    ],
)
def test_geojson_that_is_none_says_so(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.geojson").write_text(content)
    with pytest.raises(PlanError, match=r"cannot read the GeoJSON .*s\.geojson"):
        read_geojson(tmp_path / "s.geojson", (40, 60), SLIDE)


def slow_inside(rings: list[NDArray[np.float64]], x: float, y: float) -> bool:
    """Count the edges to the left of a point, at or left of it exactly."""
    inside = False
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
                inside = not inside
    return inside


@settings(max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    corners=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_filling_agrees_with_the_slow_twin(
    seed: int, corners: list[int], shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    rings = [rng.uniform(-4, 16, (count, 2)) for count in corners]
    fast = fill_rings(rings, shape)
    slow = [
        [slow_inside(rings, c + 0.5, r + 0.5) for c in range(shape[1])] for r in range(shape[0])
    ]
    assert fast.tolist() == slow
