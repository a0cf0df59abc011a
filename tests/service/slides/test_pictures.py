"""Thumbnails, regions and associated images against the reader."""

from pathlib import Path

import numpy as np
import openslide
import pytest
from PIL import Image
from starlette.testclient import TestClient

from service.errors import BusyError
from service.slides.regions import Asked, RegionTurns
from tests.service.conftest import Bearer
from tests.service.slides.conftest import Pixels, decoded, psnr, register
from tiling.store import Archive
from wsi import Point, Region, Size, open_slide
from wsi.area import block_mean

PLANTED = "CMU-1-Small-Region"


def region(client: TestClient, **query: object) -> Pixels:
    answer = client.get("/api/v1/slides/cmu/region", params=query | {"format": "png"})  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return decoded(answer.content)


@pytest.mark.parametrize("max_px", [16, 100, 512, 1024, 2048])
def test_a_thumbnail_is_the_whole_slide(client: TestClient, cmu_slide: Path, max_px: int) -> None:
    register(client, "cmu.svs")
    answer = client.get("/api/v1/slides/cmu/thumbnail", params={"max_px": max_px})
    assert answer.headers["content-type"] == "image/jpeg"
    found = decoded(answer.content)
    with open_slide(cmu_slide) as slide:
        expected = slide.thumbnail(max_px)
    assert max(found.shape) == max_px
    assert abs(found.shape[1] - expected.shape[1]) <= 1
    shown = Image.fromarray(found).resize(expected.shape[1::-1])
    assert psnr(np.asarray(shown), expected) > 25
    known = {"If-None-Match": answer.headers["etag"]}
    again = client.get("/api/v1/slides/cmu/thumbnail", params={"max_px": max_px}, headers=known)
    assert again.status_code == 304


def test_a_thumbnail_without_pixels_is_the_archive_s(client: TestClient, work: Path) -> None:
    answer = client.get(f"/api/v1/slides/{PLANTED}/thumbnail", params={"max_px": 2048})
    stored = Archive.open(str(work / "demo.zarr"))[PLANTED].thumbnail
    assert psnr(decoded(answer.content), stored) > 28


@pytest.mark.parametrize("max_px", [15, 2049, "x"])
def test_other_sizes_of_thumbnails_are_refused(client: TestClient, max_px: object) -> None:
    path = f"/api/v1/slides/{PLANTED}/thumbnail?max_px={max_px}"
    assert client.get(path).status_code == 422


def test_a_region_of_a_level_has_the_slide_s_pixels(client: TestClient, cmu_slide: Path) -> None:
    register(client, "cmu.svs")
    with openslide.OpenSlide(cmu_slide) as slide:
        expected = np.asarray(slide.read_region((300, 400), 0, (321, 123)).convert("RGB"))
    found = region(client, x=300, y=400, width=321, height=123, level=0)
    assert np.array_equal(found, expected)
    assert np.array_equal(region(client, x=300, y=400, width=321, height=123), expected)


def test_outside_the_slide_is_white(client: TestClient, cmu_slide: Path) -> None:
    register(client, "cmu.svs")
    found = region(client, x=-50, y=2900, width=100, height=100)
    with open_slide(cmu_slide) as slide:
        expected = slide.read_region(Region(Point(-50, 2900), 0, Size(100, 100)))
    assert np.array_equal(found, expected)
    assert (found[:, :50] == 255).all()
    assert (region(client, x=10**9, y=0, width=5, height=5) == 255).all()


def test_a_region_at_microns_per_pixel_is_the_mean(client: TestClient, cmu_slide: Path) -> None:
    register(client, "cmu.svs")
    with open_slide(cmu_slide) as slide:
        pixels = slide.read_region(Region(Point(400, 500), 0, Size(800, 600)))
    found = region(client, x=400, y=500, width=200, height=150, mpp=4 * 0.499)
    assert np.abs(found.astype(int) - block_mean(pixels, 4)).max() <= 1
    native = region(client, x=400, y=500, width=200, height=150, mpp=0.499)
    assert np.array_equal(native, pixels[:150, :200])
    odd = region(client, x=400, y=500, width=100, height=100, mpp=1.25)
    assert psnr(odd, box(pixels, 100, 1.25 / 0.499)) > 45


def box(pixels: Pixels, side: int, scale: float) -> Pixels:
    """Mean of what each pixel covers, by another library."""
    whole = Image.fromarray(pixels[: int(side * scale) + 2, : int(side * scale) + 2])
    window = (0, 0, side * scale, side * scale)
    return np.asarray(whole.resize((side, side), Image.Resampling.BOX, box=window))


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("x=0&y=0&width=9&height=9&level=1", 422),
        ("x=0&y=0&width=9&height=9&level=0&mpp=1", 422),
        ("x=0&y=0&width=9&height=9&mpp=0.2", 422),
        ("x=0&y=0&width=9&height=9&mpp=0", 422),
        ("x=0&y=0&width=9&height=9&mpp=nan", 422),
        ("x=0&y=0&width=9&height=9&mpp=inf", 422),
        ("x=0&y=0&width=9&height=9&format=gif", 422),
        ("x=0&y=0&width=0&height=9", 422),
        ("x=0&y=0&width=-9&height=9", 422),
        ("x=0&y=0&width=99999&height=9", 422),
        ("x=0&y=0&width=16000&height=16000", 413),
        ("x=0&y=0&width=4000&height=4000&mpp=100", 413),
        ("x=99999999999999999999&y=0&width=9&height=9", 422),
        ("y=0&width=9&height=9", 422),
    ],
)
def test_regions_that_make_no_sense_or_are_too_large_are_refused(
    client: TestClient, query: str, status: int
) -> None:
    register(client, "cmu.svs")
    assert client.get(f"/api/v1/slides/cmu/region?{query}").status_code == status


def test_a_slide_without_resolution_is_asked_by_level(
    client: TestClient, slides_root: Path
) -> None:
    Image.new("RGB", (300, 200), (200, 30, 90)).save(slides_root / "plain.png")
    register(client, "plain.png")
    path = "/api/v1/slides/plain/region?x=0&y=0&width=9&height=9"
    assert client.get(path).status_code == 200
    answer = client.get(f"{path}&mpp=1")
    assert answer.status_code == 422
    assert "ask by level" in answer.json()["detail"]


def test_associated_images_are_the_file_s(client: TestClient, cmu_slide: Path) -> None:
    register(client, "cmu.svs")
    answer = client.get("/api/v1/slides/cmu/associated")
    assert answer.json() == {"names": ["label", "macro", "thumbnail"]}
    with openslide.OpenSlide(cmu_slide) as slide:
        for name in answer.json()["names"]:
            image = client.get(f"/api/v1/slides/cmu/associated/{name}")
            assert image.headers["content-type"] == "image/png"
            expected = np.asarray(slide.associated_images[name].convert("RGB"))
            assert np.array_equal(decoded(image.content), expected)
    assert client.get("/api/v1/slides/cmu/associated/none").status_code == 404


def test_reading_a_label_is_written_down(client: TestClient, bearer: Bearer) -> None:
    register(client, "cmu.svs")
    doctor, chief = bearer("phi", name="doctor"), bearer("admin", name="chief")
    client.get("/api/v1/slides/cmu/associated/label", headers=doctor)
    entries = client.get("/api/v1/audit", headers=chief).json()["items"]
    found = [one for one in entries if one["action"] == "slide.associated"]
    assert [(one["caller"], one["subject"], one["detail"]) for one in found] == [
        ("doctor", "cmu", "label")
    ]


def test_a_region_that_the_client_has_is_not_made_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(client, "cmu.svs")
    query = "/api/v1/slides/cmu/region?x=0&y=0&width=9&height=9"
    etag = client.get(query).headers["etag"]
    monkeypatch.delattr("service.slides.routes.pictures.read_asked")  # whoever calls it fails
    again = client.get(query, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "private, no-cache"


def test_large_regions_wait_for_their_turn_and_small_ones_do_not() -> None:
    turns = RegionTurns(at_once=2, wait_s=0.01)
    small, large = (Asked(0, 0, side, 1024, None, None) for side in (1024, 1025))
    reduced = Asked(0, 0, 9, 9, None, 8.0)  # few pixels, made of many
    with turns.turn(large), turns.turn(reduced):
        with pytest.raises(BusyError, match="large regions"), turns.turn(large):
            pass
        with turns.turn(small):
            pass
    with turns.turn(large), turns.turn(large):
        pass
