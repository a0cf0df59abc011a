"""Deep Zoom tiles against the file's own bytes, OpenSlide's tiles, and the reader's regions."""

import io
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import openslide
import pytest
from openslide.deepzoom import DeepZoomGenerator
from PIL import Image
from starlette.testclient import TestClient

from service.slides.tiles import FRESH_S
from tests.service.conftest import Bearer
from tests.service.slides.conftest import Pixels, decoded, psnr, read_level, register
from wsi import open_slide
from wsi.area import block_mean

HEADER = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def pyramid(client: TestClient, slides_root: Path, pyramid_slide: Path) -> str:
    shutil.copyfile(pyramid_slide, slides_root / "pyramid.svs")
    return register(client, "pyramid.svs")


def tile(client: TestClient, slide: str, level: int, column: int, row: int) -> bytes:
    answer = client.get(f"/api/v1/slides/{slide}_files/{level}/{column}_{row}.jpeg")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    return answer.content


def stitched(client: TestClient, slide: str, level: int, expected: Pixels, side: int) -> Pixels:
    """All tiles of a level in their places."""
    whole = np.zeros_like(expected)
    height, width = whole.shape[:2]
    for row in range(-(-height // side)):
        for column in range(-(-width // side)):
            part = decoded(tile(client, slide, level, column, row))
            top, left = row * side, column * side
            assert part.shape == whole[top : top + side, left : left + side].shape
            whole[top : top + side, left : left + side] = part
    return whole


def encoded(pixels: Pixels) -> Pixels:
    """What is left of pixels as JPEG of quality 85 with colour at half the resolution."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85, subsampling="4:2:0")
    return decoded(buffer.getvalue())


def test_whole_native_tiles_are_the_files_own_bytes(
    client: TestClient, pyramid: str, pyramid_slide: Path
) -> None:
    last = int(np.ceil(np.log2(2560)))
    with open_slide(pyramid_slide) as slide:
        for index, level in ((0, last), (1, last - 2)):
            native = slide.native_tiles(index)
            assert native is not None
            for column, row in ((0, 0), (1, 0), (1, 1)):
                stored = native.read(column, row)
                assert stored is not None
                assert tile(client, pyramid, level, column, row) == stored
    stored = tile(client, pyramid, last, 3, 4)
    data = stored[stored.rindex(b"\xff\xda") + 14 :]  # behind the header of the scan
    assert data in pyramid_slide.read_bytes()  # the coded pixels, found by nobody's arithmetic


def test_the_bundled_slide_is_copied_but_at_its_edges(
    client: TestClient, slides_root: Path, cmu_slide: Path
) -> None:
    register(client, "cmu.svs")
    with open_slide(cmu_slide) as slide:
        native = slide.native_tiles(0)
        assert native is not None
        for column, row in ((0, 0), (8, 11), (4, 6)):
            assert tile(client, "cmu", 12, column, row) == native.read(column, row)
        assert tile(client, "cmu", 12, 9, 0) != native.read(9, 0)
        expected = read_level(slide, 0)
    whole = stitched(client, "cmu", 12, expected, 240)
    assert np.array_equal(whole[:2880, :2160], expected[:2880, :2160])  # copied: the same pixels
    assert psnr(whole, expected) > 38


@pytest.mark.parametrize("down", range(8))
def test_stitched_tiles_are_the_slide(
    client: TestClient, pyramid: str, pyramid_slide: Path, down: int
) -> None:
    with open_slide(pyramid_slide) as slide:
        level, step = [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2), (2, 4), (2, 8)][down]
        expected = block_mean(read_level(slide, level), step)
    found = stitched(client, pyramid, 12 - down, expected, 256)
    if step == 1:
        whole = slice(0, expected.shape[0] // 256 * 256)
        assert np.array_equal(found[whole, whole], expected[whole, whole])
    assert psnr(found, expected) > psnr(encoded(expected), expected) - 0.5


def test_every_tile_has_the_size_that_openslide_gives_it(
    client: TestClient, pyramid: str, pyramid_slide: Path
) -> None:
    with openslide.OpenSlide(pyramid_slide) as slide:
        theirs = DeepZoomGenerator(slide, 256, 0)
        for level, (columns, rows) in enumerate(theirs.level_tiles):
            for column, row in {(0, 0), (columns - 1, rows - 1), (columns // 2, rows // 2)}:
                expected = np.asarray(theirs.get_tile(level, (column, row)).convert("RGB"))
                found = decoded(tile(client, pyramid, level, column, row))
                assert found.shape == expected.shape
                if min(expected.shape[:2]) >= 64:  # they resample in another way
                    assert psnr(found, expected) > 27
        assert client.get(f"/api/v1/slides/{pyramid}.dzi").text == theirs.get_dzi("jpeg")


@pytest.mark.slides
@pytest.mark.parametrize(
    ("path", "made_of"),
    [
        ("TCGA-CR-7395-01A-01-TS1.svs", {12: (1, 1), 11: (1, 2)}),
        ("test3-DAPI-2-387.ndpi", {11: (2, 1), 9: (4, 1), 6: (6, 2)}),
        ("OS-2-ndpi.ome.tif", {12: (0, 1), 11: (0, 2), 10: (0, 4), 8: (0, 16)}),
        ("dicom/camelyon-lowres-jpeg.dcm", {11: (0, 1), 10: (0, 2)}),
        ("dicom/bone-jpeg2000-lossless.dcm", {10: (0, 1), 9: (0, 2)}),
        ("dicom/sm_image-10px-tiles.dcm", {6: (0, 1), 5: (0, 2)}),
    ],
    ids=lambda value: value.rpartition(".")[2] if isinstance(value, str) else "",
)
def test_tiles_of_real_slides_are_the_pixels_of_their_levels(
    client: TestClient,
    slides_root: Path,
    slides_folder: Path,
    path: str,
    made_of: dict[int, tuple[int, int]],
) -> None:
    shutil.copyfile(slides_folder / path, slides_root / Path(path).name)
    slide_id = register(client, Path(path).name)
    zoom = client.get(f"/api/v1/slides/{slide_id}").json()["deepzoom"]
    with open_slide(slides_folder / path) as slide:
        for level, (index, step) in made_of.items():
            wanted = -(-slide.size.height // 2 ** (zoom["levels"] - 1 - level))
            expected = block_mean(read_level(slide, index), step)
            missing = wanted - len(expected)  # of a level whose sides were rounded down
            expected = np.pad(expected, ((0, missing), (0, missing), (0, 0)), mode="edge")
            found = stitched(client, slide_id, level, expected, zoom["tile_px"])
            assert psnr(found, expected) > psnr(encoded(expected), expected) - 1
            worst = np.abs(found[-1].astype(int) - expected[-1]).mean()
            assert worst < 24  # the last row is no padding of the file


def test_dzi_describes_the_tiles(client: TestClient, slides_root: Path) -> None:
    register(client, "cmu.svs")
    answer = client.get("/api/v1/slides/cmu.dzi")
    root = ElementTree.fromstring(answer.text)
    assert answer.headers["content-type"] == "application/xml"
    assert root.attrib == {"TileSize": "240", "Overlap": "0", "Format": "jpeg"}
    assert root[0].attrib == {"Width": "2220", "Height": "2967"}


def test_a_tile_has_a_tag_that_saves_the_next_transfer(
    client: TestClient, slides_root: Path
) -> None:
    register(client, "cmu.svs")
    address = "/api/v1/slides/cmu_files/12/1_1.jpeg"
    first, second = client.get(address), client.get(address)
    assert first.content == second.content
    assert first.headers["etag"] == second.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    for known in (first.headers["etag"], f'"x", W/{first.headers["etag"]}', "*"):
        again = client.get(address, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert client.get(address, headers={"If-None-Match": '"other"'}).status_code == 200
    head = client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(first.content))
    assert (
        client.get("/api/v1/slides/cmu_files/12/1_2.jpeg").headers["etag"] != head.headers["etag"]
    )


def test_a_slide_whose_file_changed_is_opened_anew(
    client: TestClient, slides_root: Path, pyramid_slide: Path
) -> None:
    register(client, "cmu.svs")
    address = "/api/v1/slides/cmu_files/12/1_1.jpeg"
    before = client.get(address)
    arriving = slides_root / "new.svs"
    shutil.copyfile(pyramid_slide, arriving)
    arriving.rename(slides_root / "cmu.svs")
    time.sleep(FRESH_S + 0.1)
    after = client.get(address)
    assert after.headers["etag"] != before.headers["etag"]
    assert decoded(after.content).shape == (256, 256, 3)


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("cmu_files/12/10_0.jpeg", 404),
        ("cmu_files/12/0_13.jpeg", 404),
        ("cmu_files/13/0_0.jpeg", 404),
        ("cmu_files/999999999999/0_0.jpeg", 404),
        ("cmu_files/12/-1_0.jpeg", 422),
        ("cmu_files/12/x_0.jpeg", 422),
        ("cmu_files/12/0_99999999999999999999.jpeg", 422),
        ("cmu_files/12/0_0.png", 404),
        ("none_files/0/0_0.jpeg", 404),
        ("none.dzi", 404),
        ("..%2Fcmu_files/0/0_0.jpeg", 404),
    ],
)
def test_other_addresses_are_refused(
    client: TestClient, slides_root: Path, address: str, status: int
) -> None:
    register(client, "cmu.svs")
    answer = client.get(f"/api/v1/slides/{address}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_ready_tile_is_given_only_to_who_may_read(
    client: TestClient, slides_root: Path, bearer: Bearer
) -> None:
    register(client, "cmu.svs")
    address = "/api/v1/slides/cmu_files/12/1_1.jpeg"
    reader, submitter = bearer("read"), bearer("submit")
    assert client.get(address, headers=reader).status_code == 200  # now it is ready
    assert client.get(address, headers=reader).status_code == 200
    assert client.get(address).status_code == 401
    assert client.get(address, headers={"Authorization": "Bearer mt_1_wrong"}).status_code == 401
    assert client.get(address, headers=submitter).status_code == 403


def test_many_threads_get_the_right_tiles(
    client: TestClient, pyramid: str, slides_root: Path
) -> None:
    register(client, "cmu.svs")
    register(client, "more/other.svs", id="other")
    wanted = [("cmu", 12, c, r) for c in range(6) for r in range(6)]
    wanted += [("other", 11, c, r) for c in range(5) for r in range(5)]
    wanted += [(pyramid, level, 0, 0) for level in range(13)]
    expected = {one: tile(client, *one) for one in wanted}
    client.app.state.tiles._ready.__init__(0)  # type: ignore[attr-defined]  # nothing is kept

    def ask(number: int) -> bool:
        one = wanted[number % len(wanted)]
        return tile(client, *one) == expected[one]

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(4 * len(wanted))))
    assert client.app.state.pool.open_count <= 16  # type: ignore[attr-defined]


def test_a_damaged_tile_is_no_fault_of_the_service(
    client: TestClient, slides_root: Path, cmu_slide: Path
) -> None:
    with open_slide(cmu_slide) as slide:
        native = slide.native_tiles(0)
        assert native is not None
        at = int(native._offsets[0, 1])
    data = bytearray(cmu_slide.read_bytes())
    data[at : at + 400] = bytes(400)
    (slides_root / "hurt.svs").write_bytes(bytes(data))
    register(client, "hurt.svs")
    answer = client.get("/api/v1/slides/hurt_files/12/1_0.jpeg")
    assert answer.status_code == 502
    assert str(slides_root) not in answer.text
    assert client.get("/api/v1/slides/hurt_files/12/2_0.jpeg").status_code == 200


def test_the_answer_is_a_plain_jpeg_that_others_open(
    client: TestClient, slides_root: Path, cmu_slide: Path
) -> None:
    register(client, "cmu.svs")
    with openslide.OpenSlide(cmu_slide) as slide:
        expected = np.asarray(slide.read_region((240, 480), 0, (240, 240)).convert("RGB"))
    assert np.array_equal(decoded(tile(client, "cmu", 12, 1, 2)), expected)
    assert io.BytesIO(tile(client, "cmu", 12, 1, 2)).read(2) == b"\xff\xd8"
