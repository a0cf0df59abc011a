"""What a person takes home: regions, embeddings, maps."""

import csv
import io
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from openslide import OpenSlide
from PIL import Image
from playwright.sync_api import Page, expect

from tests.service.planted import ENCODERS, LEGEND, MAP
from tests.service.viewer.conftest import SLIDE, Visit
from tests.service.viewer.seeing import difference, opened, place


def saved(page: Page, tmp_path: Path, name: str) -> Path:
    """Press a link or button, and give the file that comes."""
    with page.expect_download() as download:
        page.get_by_role("link", name=name, exact=True).or_(
            page.get_by_role("button", name=name, exact=True)
        ).click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    return path


def open_region(page: Page) -> None:
    page.locator("#section-region > summary").click()


def test_a_typed_region_is_saved_as_the_slide_has_it(
    visit: Visit, cmu_slide: Path, tmp_path: Path
) -> None:
    page = visit(f"#/slides/{SLIDE}")
    opened(page)
    open_region(page)
    for label, value in {"Left": "500", "Top": "900", "Width": "400", "Height": "300"}.items():
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("Format").select_option("png")
    expect(page.locator("#section-region")).to_contain_text("400 \N{MULTIPLICATION SIGN} 300 px")
    path = saved(page, tmp_path, "Save the picture")
    with OpenSlide(cmu_slide) as slide:
        right = np.asarray(slide.read_region((500, 900), 0, (400, 300)).convert("RGB"))
    assert path.name == f"{SLIDE}_500_900.png"
    with Image.open(path) as picture:
        assert (np.asarray(picture.convert("RGB")) == right).all()


def test_a_drawn_region_is_saved_at_the_chosen_resolution(
    visit: Visit, cmu_slide: Path, tmp_path: Path
) -> None:
    page = visit(f"#/slides/{SLIDE}?x=1110&y=1484&zoom=0.25")
    seen = opened(page)
    page.keyboard.press("r")
    box = page.locator(".sheet").bounding_box()
    assert box is not None
    left, top = box["x"] + 300, box["y"] + 200
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(left + 150, top + 100, steps=4)
    page.mouse.up()
    height, width = seen.shape[:2]
    right = (1110 + (300 - width / 2) / 0.25, 1484 + (200 - height / 2) / 0.25)
    given = [
        float(page.get_by_label(name, exact=True).input_value())
        for name in ("Left", "Top", "Width", "Height")
    ]
    assert given == pytest.approx([*right, 600, 400], abs=3)
    page.get_by_label("Resolution").select_option("2")
    size = [round(one * 0.499 / 2) for one in given[2:]]
    with Image.open(saved(page, tmp_path, "Save the picture")) as picture:
        assert picture.format == "JPEG"
        assert picture.size == tuple(size)
        seen = np.asarray(picture.convert("RGB")).astype(np.int16)
    with OpenSlide(cmu_slide) as slide:
        corner = int(given[0]), int(given[1])
        whole = slide.read_region(corner, 0, (int(given[2]), int(given[3]))).convert("RGB")
    shrunk = np.asarray(whole.resize((size[0], size[1]), Image.Resampling.BOX)).astype(np.int16)
    assert difference(seen, shrunk) < 9


def test_escape_ends_the_drawing(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}?x=1110&y=1484&zoom=0.25&patch=3")
    opened(page)
    page.get_by_role("button", name="Save a region").click()
    expect(page.locator(".sheet")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".sheet")).to_have_count(0)
    assert place(page)["patch"] == "3", "Esc did more than it says"


def test_what_is_shown_can_be_taken_and_a_part_outside_the_slide_is_cut(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}?x=300&y=900&zoom=0.6")
    seen = opened(page)
    open_region(page)
    page.get_by_role("button", name="What is shown").click()
    height, width = seen.shape[:2]
    upper, lower = 900 - height / 2 / 0.6, 900 + height / 2 / 0.6
    right = [0, upper, 300 + width / 2 / 0.6, lower - upper]
    for name, value in zip(("Left", "Top", "Width", "Height"), right, strict=True):
        given = float(page.get_by_label(name, exact=True).input_value())
        assert given == pytest.approx(value, abs=2), name


@pytest.mark.parametrize("kind", ["h5", "pt", "npz", "parquet", "arrow"])
def test_embeddings_come_in_every_format(visit: Visit, tmp_path: Path, kind: str) -> None:
    page = visit(f"#/slides/{SLIDE}")
    opened(page)
    page.locator("#section-downloads > summary").click()
    path = saved(page, tmp_path, f"Embeddings of colour-layout as {kind}")
    assert path.suffix == f".{kind}"
    assert path.stat().st_size > 55 * ENCODERS["colour-layout"][0] * 2
    if kind == "h5":
        with h5py.File(path) as file:
            assert (55, 384) in {one.shape for one in file.values()}


def test_maps_come_in_every_format(visit: Visit, tmp_path: Path) -> None:
    page = visit(f"#/slides/{SLIDE}")
    opened(page)
    page.locator("#section-downloads > summary").click()
    with Image.open(saved(page, tmp_path, f"Map {MAP} as PNG")) as picture:
        assert picture.size == (555, 741)
    with tifffile.TiffFile(saved(page, tmp_path, f"Map {MAP} as OME-TIFF")) as tiff:
        assert tiff.is_ome
    assert "FeatureCollection" in saved(page, tmp_path, f"Map {MAP} as GeoJSON").read_text()[:200]
    text = saved(page, tmp_path, f"Areas of map {MAP} as CSV").read_text()
    assert [row["name"] for row in csv.DictReader(io.StringIO(text))] == list(LEGEND.names)
