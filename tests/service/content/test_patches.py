import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.service.content.conftest import SLIDE, damage
from tests.service.planted import ARCHIVE, PATCH_PX, SLIDE_ID
from tests.tiling.archives import cut
from tiling.labels import Labels, add_array
from tiling.store import Archive


def test_the_grid_is_summed_up(client: TestClient, stored: Any) -> None:
    found = client.get(f"{SLIDE}/patches").json()
    assert found["archive"] == ARCHIVE
    assert found["count"] == stored["coords"].shape[0]
    assert found["patch_size_px"] == PATCH_PX
    assert found["patch_size_level0"] == [240.0, 240.0]
    assert found["mpp"] == [0.499, 0.499]
    assert found["status"] == {"ok": 55, "retried": 0, "unreadable": 0}
    assert found["patches"] is None


def test_json_has_every_patch_in_the_order_of_the_archive(client: TestClient, stored: Any) -> None:
    found = client.get(f"{SLIDE}/patches?format=json").json()["patches"]
    assert np.array_equal(np.stack([found["x"], found["y"]], axis=1), stored["coords"][:])
    assert np.allclose(found["tissue_fraction"], stored["tissue_fraction"][:], atol=1e-4)
    assert found["status"] == stored["status"][:].tolist()
    assert found["labels"] is None


def test_arrow_has_every_patch_and_the_summary(client: TestClient, stored: Any) -> None:
    answer = client.get(f"{SLIDE}/patches?format=arrow")
    table = pa.ipc.open_stream(answer.content).read_all()
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    corners = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)
    assert np.array_equal(corners, stored["coords"][:])
    assert np.array_equal(table["tissue_fraction"].to_numpy(), stored["tissue_fraction"][:])
    assert b'"patch_size_px":240' in table.schema.metadata[b"microtome"]


@pytest.mark.parametrize("kind", ["classes", "multilabel"])
def test_labels_are_given_with_their_names(client: TestClient, work: Path, kind: Any) -> None:
    archive = Archive.open(str(work / ARCHIVE))
    values = np.arange(55) % 3 - 1
    if kind == "multilabel":
        values = np.stack([values, -values], axis=1).clip(-1, 1)
    known = Labels(values, ("a", "b"), kind)
    add_array(archive.storage, SLIDE_ID, "labels", known.array())
    found = client.get(f"{SLIDE}/patches?format=json").json()
    assert found["label_names"] == ["a", "b"]
    assert found["patches"]["labels"] == values.tolist()
    table = pa.ipc.open_stream(client.get(f"{SLIDE}/patches?format=arrow").content).read_all()
    assert table["labels"].to_pylist() == values.tolist()


def test_a_patch_is_the_stored_jpeg(client: TestClient, stored: Any) -> None:
    answer = client.get(f"{SLIDE}/patches/17.jpeg")
    assert answer.headers["content-type"] == "image/jpeg"
    pixels = np.array(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)
    assert np.abs(pixels - stored["patches"][17].astype(int)).max() <= 3  # another decoder


def test_the_stored_bytes_are_not_touched(client: TestClient, work: Path) -> None:
    shard = (work / ARCHIVE / SLIDE_ID / "patches" / "c" / "0" / "0" / "0" / "0").read_bytes()
    for index in (0, 1, 54):
        assert client.get(f"{SLIDE}/patches/{index}.jpeg").content in shard


def test_a_lossless_patch_is_shown_as_png(client: TestClient, work: Path, cmu_slide: Path) -> None:
    import zarr

    cut(work / "lossless.zarr", cmu_slide, "b", encoding="lossless", mpp=2.0, patch_size_px=64)
    answer = client.get("/api/v1/slides/b/patches/3.jpeg")
    assert answer.headers["content-type"] == "image/png"
    pixels = np.array(Image.open(io.BytesIO(answer.content)))
    group = zarr.open_group(work / "lossless.zarr" / "b", mode="r")
    assert np.array_equal(pixels, group["patches"][3])  # type: ignore[index]  # an array


@pytest.mark.parametrize(
    ("url", "status"),
    [
        (f"{SLIDE}/patches/55.jpeg", 404),
        (f"{SLIDE}/patches/-1.jpeg", 422),
        (f"{SLIDE}/patches/one.jpeg", 422),
        ("/api/v1/slides/nope/patches", 404),
        (f"{SLIDE}/patches?format=xml", 422),
    ],
)
def test_what_is_not_there_is_told(client: TestClient, url: str, status: int) -> None:
    assert client.get(url).status_code == status


def test_a_patch_is_asked_for_once(client: TestClient) -> None:
    url = f"{SLIDE}/patches/3.jpeg"
    tag = client.get(url).headers["etag"]
    assert client.get(url, headers={"If-None-Match": tag}).status_code == 304


def test_a_slide_of_two_archives_is_read_in_the_one_asked_for(
    client: TestClient, work: Path, cmu_slide: Path
) -> None:
    cut(work / "other.zarr", cmu_slide, SLIDE_ID, mpp=2.0, patch_size_px=64)
    found = client.get(f"{SLIDE}/patches?archive=other.zarr").json()
    assert (found["archive"], found["patch_size_px"]) == ("other.zarr", 64)
    assert client.get(f"{SLIDE}/patches").json()["patch_size_px"] == PATCH_PX


@pytest.mark.parametrize("part", ["coords/c/0/0", "tissue_fraction/zarr.json"])
def test_a_damaged_grid_is_told_of(client: TestClient, work: Path, part: str) -> None:
    (work / ARCHIVE / SLIDE_ID / part).write_bytes(b"{")
    answer = client.get(f"{SLIDE}/patches?format=json")
    assert answer.status_code == 502
    assert str(work) not in answer.text


def test_a_missing_shard_is_told_of(client: TestClient, work: Path) -> None:
    shutil.rmtree(work / ARCHIVE / SLIDE_ID / "patches" / "c")
    answer = client.get(f"{SLIDE}/patches/0.jpeg")
    assert answer.status_code in (502, 503)
    assert str(work) not in answer.text


def test_a_damaged_index_of_a_shard_is_told_of(client: TestClient, work: Path) -> None:
    shard = work / ARCHIVE / SLIDE_ID / "patches" / "c" / "0" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-8] + bytes(8))
    damage(shard)
    answer = client.get(f"{SLIDE}/patches/0.jpeg")
    assert answer.status_code == 502
    assert str(work) not in answer.text
