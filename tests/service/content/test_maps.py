import io
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.service.content.conftest import SLIDE, Bytes, damage
from tests.service.planted import ARCHIVE, ATTENTION, LEGEND, SLIDE_ID, STEP
from tiling.maps import write_map
from tiling.store import Archive

TISSUE = f"{SLIDE}/maps/tissue"
HEAT = f"{SLIDE}/maps/{ATTENTION}"
NONE = 255


def picture(client: TestClient, url: str) -> Image.Image:
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return Image.open(io.BytesIO(answer.content))


def coarser(classes: Bytes) -> Bytes:
    """The most frequent of each 2 x 2, of equals the first: by counting them one by one."""
    whole = np.pad(classes, [(0, n % 2) for n in classes.shape], mode="edge")
    out = np.empty((whole.shape[0] // 2, whole.shape[1] // 2), np.uint8)
    for row, column in np.ndindex(*out.shape):
        four = whole[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].ravel().tolist()
        counts = Counter(four)
        out[row, column] = next(one for one in four if counts[one] == max(counts.values()))
    return out


def assembled(client: TestClient, url: str, level: int, size: tuple[int, int]) -> Bytes:
    """All tiles of a level put together, as RGBA."""
    whole = np.zeros((*size, 4), np.uint8)
    for row in range(-(-size[0] // 512)):
        for column in range(-(-size[1] // 512)):
            tile = picture(client, url.format(f"{level}/{column}_{row}")).convert("RGBA")
            top, left = 512 * row, 512 * column
            whole[top : top + tile.height, left : left + tile.width] = np.array(tile)
    return whole


def coloured(classes: Bytes, hidden: tuple[int, ...] = ()) -> Bytes:
    """Classes in their colours, RGBA, one by one."""
    out = np.zeros((*classes.shape, 4), np.uint8)
    for number, colour in enumerate(LEGEND.colours):
        if number not in hidden:
            out[classes == number] = (*colour, 255)
    return out


def visible(pixels: Bytes) -> Bytes:
    """Colours do not count where nothing is seen."""
    return np.where(pixels[..., 3:] > 0, pixels, 0)


def test_a_tissue_map_is_described_with_classes_and_place(client: TestClient, stored: Any) -> None:
    found = {one["name"]: one for one in client.get(f"{SLIDE}/maps").json()}["tissue"]
    height, width = stored["maps/tissue/classes"].shape
    assert found["archive"] == ARCHIVE
    assert found["kind"] == "tissue"
    assert found["size_px"] == [width, height]
    assert found["level0_step"] == [STEP, STEP]
    assert [one["name"] for one in found["classes"]] == list(LEGEND.names)
    assert [tuple(one["colour"]) for one in found["classes"]] == list(LEGEND.colours)
    assert [one["number"] for one in found["classes"]] == [0, 1, 2, 3]


def test_an_attention_map_is_described_with_channels(client: TestClient) -> None:
    found = {one["name"]: one for one in client.get(f"{SLIDE}/maps").json()}[ATTENTION]
    assert found["kind"] == "attention"
    assert found["classes"] is None
    assert found["channels"] == ["attention"]
    assert found["size_px"] == [9, 12]
    assert found["made_by"]["run"] == "demo"


def test_a_map_does_not_tell_where_its_maker_read(client: TestClient, work: Path) -> None:
    store = Archive.open(str(work / ARCHIVE))[SLIDE_ID]
    model = {"run": "/home/a/runs/b", "from": ["s3://bucket/c.zarr", "plain words"]}
    write_map(store, "other", {"values": np.zeros(3, np.float32)}, {"kind": "x", "model": model})
    found = {one["name"]: one for one in client.get(f"{SLIDE}/maps").json()}["other"]
    assert found["made_by"] == {"run": "b", "from": ["c.zarr", "plain words"]}
    assert found["downloads"] == []
    assert client.get(f"{SLIDE}/maps/other.png").status_code == 404


def test_the_picture_holds_the_stored_classes_in_their_colours(
    client: TestClient, stored: Any
) -> None:
    found = picture(client, f"{TISSUE}.png")
    classes = stored["maps/tissue/classes"][:]
    assert found.mode == "P"
    assert np.array_equal(np.array(found), classes)
    pixels = np.array(found.convert("RGBA"))
    assert np.array_equal(visible(pixels), coloured(classes))


def test_a_smaller_picture_is_halved_by_the_most_frequent_class(
    client: TestClient, stored: Any
) -> None:
    found = np.array(picture(client, f"{TISSUE}.png?max_px=400"))
    assert np.array_equal(found, coarser(stored["maps/tissue/classes"][:]))


def test_hidden_classes_are_transparent(client: TestClient, stored: Any) -> None:
    pixels = np.array(picture(client, f"{TISSUE}.png?hide=0,3").convert("RGBA"))
    expected = coloured(stored["maps/tissue/classes"][:], (0, 3))
    assert np.array_equal(visible(pixels), expected)


def test_the_tiles_of_every_level_make_the_map(client: TestClient, stored: Any) -> None:
    level = stored["maps/tissue/classes"][:]
    for number in range((max(level.shape) - 1).bit_length(), -1, -1):
        found = assembled(client, f"{TISSUE}_files/{{}}.png?hide=1", number, level.shape)
        assert np.array_equal(visible(found), coloured(level, (1,))), number
        level = coarser(level)


def test_the_tiles_of_a_large_map_are_made_of_its_chunks(
    client: TestClient, stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.content import planes

    monkeypatch.setattr(planes, "OVERVIEW_PX", 100)  # as small for this map as 2048 for large ones
    level = stored["maps/tissue/classes"][:]
    for number in range(10, 4, -1):
        found = assembled(client, f"{TISSUE}_files/{{}}.png", number, level.shape)
        assert np.array_equal(visible(found), coloured(level)), number
        level = coarser(level)


def test_the_dzi_says_how_large_the_tiles_together_are(client: TestClient, stored: Any) -> None:
    answer = client.get(f"{TISSUE}.dzi")
    height, width = stored["maps/tissue/classes"].shape
    assert answer.headers["content-type"].startswith("application/xml")
    assert f'Width="{width}" Height="{height}"' in answer.text
    assert 'Format="png"' in answer.text
    assert 'Overlap="0"' in answer.text


def test_entropy_is_shown_where_a_class_is(client: TestClient, stored: Any) -> None:
    found = picture(client, f"{TISSUE}.png?layer=entropy&hide=2")
    classes, entropy = stored["maps/tissue/classes"][:], stored["maps/tissue/entropy"][:]
    unseen = (classes == NONE) | (classes == 2)
    assert np.array_equal(np.array(found), np.where(unseen, 0, np.maximum(entropy, 1)))
    alpha = np.array(found.convert("RGBA"))[..., 3]
    assert np.array_equal(alpha == 0, unseen)


def test_a_heatmap_shows_a_square_per_patch(client: TestClient, stored: Any) -> None:
    found = picture(client, f"{HEAT}.png")
    pixels = stored[f"maps/{ATTENTION}/pixels"][0]
    factor = found.width // pixels.shape[1]
    assert max(found.size) >= 512
    for row, column in np.ndindex(*pixels.shape):
        square = np.array(found)[row * factor : (row + 1) * factor, column * factor :][:, :factor]
        assert (square == pixels[row, column]).all()
    alpha = np.array(found.convert("RGBA"))[..., 3]
    assert (alpha[::factor, ::factor] == np.where(pixels > 0, 255, 0)).all()


def test_coarse_levels_of_a_heatmap_do_not_mix_with_nothing(client: TestClient) -> None:
    small = np.array(picture(client, f"{HEAT}_files/0/0_0.png"))
    assert small.shape == (1, 1)
    assert small[0, 0] > 0


def test_brighter_patches_have_more_attention(client: TestClient) -> None:
    found = picture(client, f"{HEAT}.png")
    numbers, pixels = np.array(found), np.array(found.convert("RGBA")).astype(float)
    bright = pixels[..., :3] @ (0.299, 0.587, 0.114)
    assert bright[numbers == numbers.max()].mean() > bright[numbers == 1].mean()


def test_a_channel_of_a_heatmap_is_chosen_by_name(client: TestClient, work: Path) -> None:
    store = Archive.open(str(work / ARCHIVE))[SLIDE_ID]
    pixels = np.stack([np.full((12, 9), 10, np.uint8), np.full((12, 9), 200, np.uint8)])
    known = {"kind": "attention", "channels": ["benign", "tumour"], "level0_step": [240, 240]}
    write_map(store, "two", {"pixels": pixels}, known)
    url = f"{SLIDE}/maps/two.png"
    assert (np.array(picture(client, url)) == 10).all()
    assert (np.array(picture(client, f"{url}?channel=tumour")) == 200).all()
    assert client.get(f"{url}?channel=nope").status_code == 404


@pytest.mark.parametrize(
    ("url", "status"),
    [
        (f"{SLIDE}/maps/nope.png", 404),
        (f"{SLIDE}/maps/nope/areas", 404),
        ("/api/v1/slides/nope/maps", 404),
        ("/api/v1/slides/..%2F..%2Fetc/maps", 404),
        (f"{SLIDE}/maps?archive=nope.zarr", 404),
        (f"{TISSUE}_files/99/0_0.png", 422),
        (f"{TISSUE}_files/20/0_0.png", 404),
        (f"{TISSUE}_files/10/7_7.png", 404),
        (f"{TISSUE}.png?hide=9", 422),
        (f"{TISSUE}.png?hide=a", 422),
        (f"{TISSUE}.png?channel=a", 422),
        (f"{HEAT}.png?hide=1", 422),
        (f"{HEAT}.png?layer=entropy", 422),
        (f"{HEAT}.ome.tif", 404),
        (f"{HEAT}/areas", 404),
        (f"{TISSUE}.png?max_px=99999", 422),
    ],
)
def test_what_is_not_there_is_told(client: TestClient, work: Path, url: str, status: int) -> None:
    answer = client.get(url)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert str(work) not in answer.text


def test_a_tile_is_asked_for_once(client: TestClient) -> None:
    url = f"{TISSUE}_files/10/0_0.png"
    tag = client.get(url).headers["etag"]
    again = client.get(url, headers={"If-None-Match": tag})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == tag
    assert client.get(f"{url}?hide=1").headers["etag"] != tag


def test_a_map_that_is_replaced_has_another_tag(client: TestClient, work: Path) -> None:
    store = Archive.open(str(work / ARCHIVE))[SLIDE_ID]
    url = f"{SLIDE}/maps/m.png"
    tags = []
    for value in (7, 8):
        pixels = np.full((1, 3, 3), value, np.uint8)
        write_map(store, "m", {"pixels": pixels}, {"kind": "attention"})
        assert (np.array(picture(client, url)) == value).all()
        tags.append(client.get(url).headers["etag"])
    assert tags[0] != tags[1]


@pytest.mark.parametrize("part", ["zarr.json", "classes/c/0/0"])
def test_a_damaged_map_is_told_of_without_its_place(
    client: TestClient, work: Path, part: str
) -> None:
    folder = work / ARCHIVE / SLIDE_ID / "maps" / "tissue"
    if part == "zarr.json":
        (folder / part).write_text("{")
    else:
        damage(folder / part)
    answer = client.get(f"{TISSUE}_files/10/0_0.png")
    assert answer.status_code == 502
    assert answer.json()["detail"] == f"the map 'tissue' of {SLIDE_ID} is damaged"


def test_maps_of_several_archives_are_told_apart(client: TestClient, work: Path) -> None:
    other = work / "archives" / "other.zarr"
    shutil.copytree(work / ARCHIVE, other)
    shutil.rmtree(other / SLIDE_ID / "maps" / "tissue")
    found = [(one["archive"], one["name"]) for one in client.get(f"{SLIDE}/maps").json()]
    assert sorted(found) == [(ARCHIVE, ATTENTION), (ARCHIVE, "tissue"), ("other.zarr", ATTENTION)]
    assert client.get(f"{TISSUE}.png?archive=other.zarr").status_code == 404
    assert client.get(f"{TISSUE}.png?archive={ARCHIVE}").status_code == 200
