import io
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.service.conftest import Bearer
from tests.service.content.conftest import SLIDE
from tests.service.planted import ARCHIVE, ENCODERS, SLIDE_ID, card, put_embeddings
from tests.tiling.archives import cut
from tiling.labels import add_array
from tiling.store import Archive
from tiling.tissue import TissueOptions
from tiling.zarrjson import small_array

SINGLE, HALF = ENCODERS
FORMATS = ("h5", "pt", "npz", "parquet", "arrow")


def content(client: TestClient, format: str, encoder: str = SINGLE, more: str = "") -> bytes:
    answer = client.get(f"{SLIDE}/embeddings/{encoder}?format={format}{more}")
    assert answer.status_code == 200, answer.text
    name = f"{SLIDE_ID}.{encoder}.{format}"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    return answer.content


def features(client: TestClient, format: str, encoder: str = SINGLE, more: str = "") -> Any:
    """Rows of a format, as its own library reads them."""
    data = io.BytesIO(content(client, format, encoder, more))
    if format == "h5":
        with h5py.File(data, "r") as file:
            return file["features"][:]
    if format == "pt":
        return torch.load(data, weights_only=True).numpy()
    if format == "npz":
        return np.load(data, allow_pickle=False)["features"]
    table = pq.read_table(data) if format == "parquet" else pa.ipc.open_stream(data).read_all()
    flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(table), -1)


def make_unreadable(work: Path, *patches: int) -> None:
    """Say that these patches could not be read."""
    status = np.zeros(55, np.uint8)
    status[list(patches)] = 2
    storage = Archive.open(str(work / ARCHIVE)).storage
    add_array(storage, SLIDE_ID, "status", small_array(status, "u1"))


def test_embeddings_are_listed_with_their_cards(client: TestClient) -> None:
    found = client.get(f"{SLIDE}/embeddings").json()
    known = {(one["encoder"], one["dim"], one["count"], one["dtype"]) for one in found}
    assert known == {(SINGLE, 384, 55, "float32"), (HALF, 64, 55, "float16")}
    assert {one["archive"] for one in found} == {ARCHIVE}
    assert found[0]["card"]["name"] == found[0]["encoder"]


@pytest.mark.parametrize("encoder", [SINGLE, HALF])
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_holds_the_stored_rows(
    client: TestClient, stored: Any, format: str, encoder: str
) -> None:
    rows = stored[f"embeddings/{encoder}"][:]
    found = features(client, format, encoder)
    assert np.array_equal(found, rows)
    assert found.dtype == (np.float32 if format in ("h5", "pt") else rows.dtype)


@pytest.mark.parametrize("format", FORMATS)
def test_the_precision_can_be_chosen(client: TestClient, stored: Any, format: str) -> None:
    found = features(client, format, SINGLE, "&dtype=float16")
    assert found.dtype == np.float16
    assert np.array_equal(found, stored[f"embeddings/{SINGLE}"][:].astype(np.float16))


def test_h5_is_a_feature_file_of_trident(client: TestClient, stored: Any) -> None:
    with h5py.File(io.BytesIO(content(client, "h5")), "r") as file:
        assert set(file) == {"features", "coords"}
        assert np.array_equal(file["coords"][:], stored["coords"][:])
        known = dict(file["coords"].attrs)
        assert file["features"].attrs["encoder"] == SINGLE
    assert known["patch_size_level0"] == 240
    assert (
        int(known["patch_size"] * known["level0_magnification"])
        // int(known["target_magnification"])
        == 240
    )
    assert (known["level0_width"], known["level0_height"]) == (2220, 2967)


def test_pt_is_a_plain_tensor(client: TestClient) -> None:
    found = torch.load(io.BytesIO(content(client, "pt")), weights_only=True)
    assert isinstance(found, torch.Tensor)
    assert found.dtype == torch.float32


def test_npz_needs_no_pickle_and_has_positions(client: TestClient, stored: Any) -> None:
    found = np.load(io.BytesIO(content(client, "npz")), allow_pickle=False)
    assert np.array_equal(found["coords"], stored["coords"][:])
    assert np.array_equal(found["coords"][:, 1] // 240, found["row"])
    assert np.array_equal(found["coords"][:, 0] // 240, found["col"])
    assert found["patch_size_level0"].tolist() == [240.0, 240.0]
    assert found["status"].tolist() == [0] * 55


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_tables_have_a_row_per_patch(client: TestClient, stored: Any, format: str) -> None:
    data = io.BytesIO(content(client, format))
    table = pq.read_table(data) if format == "parquet" else pa.ipc.open_stream(data).read_all()
    corners = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)
    assert np.array_equal(corners, stored["coords"][:])
    known = json.loads(table.schema.metadata[b"microtome"])
    assert known["card"]["name"] == SINGLE
    assert known["P0"] == [240.0, 240.0]


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_request_gives_the_same_bytes(client: TestClient, work: Path, format: str) -> None:
    first = content(client, format)
    shutil.rmtree(work / "cache" / "files")
    (work / "cache" / "files").mkdir()
    assert content(client, format) == first


@pytest.mark.parametrize("format", FORMATS)
def test_unreadable_patches_are_left_out_unless_asked_for(
    client: TestClient, work: Path, stored: Any, format: str
) -> None:
    make_unreadable(work, 0, 30)
    rows = stored[f"embeddings/{SINGLE}"][:]
    assert np.array_equal(features(client, format), np.delete(rows, [0, 30], axis=0))
    assert np.array_equal(features(client, format, SINGLE, "&keep_unreadable=true"), rows)


@pytest.mark.parametrize("format", FORMATS)
def test_a_slide_without_patches_gives_a_file_without_rows(
    client: TestClient, work: Path, cmu_slide: Path, format: str
) -> None:
    tissue = TissueOptions(thumbnail_px=200)
    cut(work / "empty.zarr", cmu_slide, "empty", patch_size_px=1024, tissue=tissue, min_tissue=1)
    store = Archive.open(str(work / "empty.zarr"))["empty"]
    assert len(store) == 0
    put_embeddings(store, card("e", 8), np.zeros((0, 8), np.float32))
    answer = client.get(f"/api/v1/slides/empty/embeddings/e?format={format}")
    assert answer.status_code == 200
    if format == "h5":
        with h5py.File(io.BytesIO(answer.content), "r") as file:
            assert file["features"].shape == (0, 8)
            assert file["coords"].shape == (0, 2)
    if format == "arrow":
        assert len(pa.ipc.open_stream(answer.content).read_all()) == 0


@pytest.mark.parametrize("format", ["h5", "pt", "npz", "parquet"])
def test_parts_make_the_whole(client: TestClient, format: str) -> None:
    url = f"{SLIDE}/embeddings/{SINGLE}?format={format}"
    whole = client.get(url)
    size, tag = len(whole.content), whole.headers["etag"]
    edges = [0, 1, 700, 2048, 2049, size // 2 + 3, size - 1, size]
    parts = b""
    for start, stop in itertools.pairwise(edges):
        answer = client.get(url, headers={"Range": f"bytes={start}-{stop - 1}", "If-Range": tag})
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        parts += answer.content
    assert parts == whole.content
    assert client.get(url, headers={"Range": f"bytes={size}-"}).status_code == 416


@pytest.mark.parametrize("format", FORMATS)
def test_what_the_caller_has_is_not_sent_again(client: TestClient, format: str) -> None:
    url = f"{SLIDE}/embeddings/{SINGLE}?format={format}"
    tag = client.get(url).headers["etag"]
    assert client.get(url, headers={"If-None-Match": tag}).status_code == 304


def test_embeddings_that_are_made_anew_have_another_tag(client: TestClient, work: Path) -> None:
    store = Archive.open(str(work / ARCHIVE))[SLIDE_ID]
    tags = []
    for seed in (1, 2):
        rows = np.random.default_rng(seed).standard_normal((55, 16)).astype(np.float32)
        put_embeddings(store, card("mine", 16), rows)
        tags.append(client.get(f"{SLIDE}/embeddings/mine").headers["etag"])
        assert np.array_equal(features(client, "h5", "mine"), rows)
    assert tags[0] != tags[1]


def test_patients_are_told_to_those_only_who_may_know(
    app: FastAPI, client: TestClient, work: Path, bearer: Bearer
) -> None:
    document = work / ARCHIVE / SLIDE_ID / "zarr.json"
    document.write_text(document.read_text().replace('"patient": ""', '"patient": "Doe"'))

    def patients(*scopes: Any) -> set[str]:
        headers = bearer(*scopes, name="-".join(scopes))
        url = f"{SLIDE}/embeddings/{SINGLE}?format=arrow"
        answer = client.get(url, headers=headers)
        return set(pa.ipc.open_stream(answer.content).read_all()["patient"].to_pylist())

    assert patients("read") == {SLIDE_ID}
    assert patients("read", "phi") == {"Doe"}


def test_a_download_is_written_down(client: TestClient) -> None:
    content(client, "npz")
    found = client.get("/api/v1/audit").json()["items"]
    assert ("embeddings.download", SLIDE_ID) in {(one["action"], one["subject"]) for one in found}


@pytest.mark.parametrize(
    ("url", "status"),
    [
        (f"{SLIDE}/embeddings/nope", 404),
        (f"{SLIDE}/embeddings/..%2F..", 404),
        (f"{SLIDE}/embeddings/{SINGLE}?archive=nope.zarr", 404),
        (f"{SLIDE}/embeddings/{SINGLE}?format=mat", 422),
        ("/api/v1/slides/nope/embeddings", 404),
    ],
)
def test_what_is_not_there_is_told(client: TestClient, url: str, status: int) -> None:
    assert client.get(url).status_code == status


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("part", ["zarr.json", "c/0/0"])
def test_damaged_embeddings_are_told_of(
    client: TestClient, work: Path, format: str, part: str
) -> None:
    path = work / ARCHIVE / SLIDE_ID / "embeddings" / SINGLE / part
    path.write_bytes(path.read_bytes()[:60])
    answer = client.get(f"{SLIDE}/embeddings/{SINGLE}?format={format}")
    assert answer.status_code == 502
    assert answer.json()["detail"] == f"the embeddings of {SINGLE!r} of {SLIDE_ID} is damaged"
    assert not list((work / "cache" / "files").glob(f"*.{format}"))
