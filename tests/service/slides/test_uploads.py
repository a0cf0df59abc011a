"""Uploads: whole, in pieces, interrupted, too large, wrong, hostile, and two at once."""

import datetime
import hashlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from service.app import create_app
from service.database import now
from service.slides.tables import UploadRow
from tests.service.conftest import Bearer, opened, serving
from tests.service.slides.conftest import decoded
from workflows.serve import ServeConfig

BYTES = {"Content-Type": "application/octet-stream"}
PLANTED = "CMU-1-Small-Region"
PIECE = {"Content-Type": "application/offset+octet-stream"}


@pytest.fixture(scope="module")
def data(cmu_slide: Path) -> bytes:
    return cmu_slide.read_bytes()


def send(client: TestClient, data: object, **query: object) -> "tuple[int, dict[str, object]]":
    answer = client.post(
        "/api/v1/slides",
        params=query,
        content=data,  # type: ignore[arg-type]  # bytes, or an iterator of them
        headers=BYTES,
    )
    return answer.status_code, answer.json()


def begin(client: TestClient, data: bytes, **more: object) -> str:
    body = {"name": "cmu.svs", "size_bytes": len(data), **more}
    answer = client.post("/api/v1/uploads", json=body)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    assert answer.headers["location"] == f"/api/v1/uploads/{found}"
    return found


def add(client: TestClient, upload: str, offset: int, data: bytes) -> int:
    headers = PIECE | {"Upload-Offset": str(offset)}
    return client.patch(f"/api/v1/uploads/{upload}", content=data, headers=headers).status_code


def files(work: Path) -> list[str]:
    """All files of uploads and slides."""
    found = [*(work / "uploads").rglob("*"), *(work / "slides").rglob("*")]
    return sorted(path.name for path in found)


def test_a_slide_that_is_sent_whole_shows_at_once(
    client: TestClient, work: Path, data: bytes
) -> None:
    status, slide = send(client, data, name="Fall 1.SVS", sha256=hashlib.sha256(data).hexdigest())
    assert status == 201
    assert (slide["id"], slide["pixels"], slide["size_px"]) == ("Fall_1", True, [2220, 2967])
    assert (work / "slides" / "Fall_1" / "Fall_1.svs").read_bytes() == data
    tile = client.get("/api/v1/slides/Fall_1_files/12/1_1.jpeg")
    assert decoded(tile.content).shape == (240, 240, 3)
    assert not any((work / "uploads").iterdir())
    assert client.app.state.catalogue.location("Fall_1") == str(  # type: ignore[attr-defined]
        (work / "slides" / "Fall_1" / "Fall_1.svs").resolve()
    )


def test_a_slide_without_a_stated_length_is_taken_too(
    client: TestClient, work: Path, data: bytes
) -> None:
    def pieces() -> Iterator[bytes]:
        for at in range(0, len(data), 100_000):
            yield data[at : at + 100_000]

    assert send(client, pieces(), name="a.svs", id="chunked")[0] == 201
    assert (work / "slides" / "chunked" / "a.svs").read_bytes() == data


def test_microns_per_pixel_that_are_given_count(client: TestClient, data: bytes) -> None:
    _, slide = send(client, data, name="a.svs", mpp=0.31)
    assert slide["mpp"] == 0.31
    details = client.get("/api/v1/slides/a").json()
    assert details["resolution"] == {"x": 0.31, "y": 0.31, "origin": "override"}


@pytest.mark.parametrize(
    ("name", "content", "status", "said"),
    [
        ("a.svs", b"no slide at all", 422, "no slide"),
        ("a.svs", b"", 422, "empty"),
        ("a.svs", b"II*\0" + bytes(5000), 422, "no slide|damaged"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(500), 422, "no slide|damaged"),
        ("a.jpg", b"\xff\xd8\xff\xe0" + bytes(500), 422, "no slide|damaged"),
        ("a.txt", b"II*\0", 422, "extension"),
        ("a", b"II*\0", 422, "extension"),
        ("../a.svs", b"II*\0", 422, "plain file name"),
        ("a/b.svs", b"II*\0", 422, "plain file name"),
        (".a.svs", b"II*\0", 422, "plain file name"),
        ("a\\b.svs", b"II*\0", 422, "plain file name"),
        ("a.zip", b"PK\3\4" + bytes(100), 422, "extension"),
        ("a.svs", b"PK\3\4" + bytes(100), 422, "no slide"),
    ],
)
def test_what_is_no_slide_is_refused_and_leaves_nothing(
    client: TestClient, work: Path, name: str, content: bytes, status: int, said: str
) -> None:
    found, problem = send(client, content, name=name)
    assert found == status
    assert any(word in str(problem["detail"]) for word in said.split("|"))
    assert str(work) not in str(problem)
    assert files(work) == []
    assert [one["id"] for one in client.get("/api/v1/slides").json()["items"]] == [PLANTED]


def test_a_cut_off_slide_is_refused(client: TestClient, work: Path, data: bytes) -> None:
    status, problem = send(client, data[: len(data) // 2], name="a.svs")
    assert (status, files(work)) == (422, [])
    assert "slide" in str(problem["detail"]) or "damaged" in str(problem["detail"])


def test_an_index_that_names_other_files_is_refused(client: TestClient, work: Path) -> None:
    index = "[Virtual Microscope Specimen]\nNoLayers=1\nImageFile=../../secret.jpg\n"
    assert send(client, index.encode(), name="a.vms")[0] == 422
    assert send(client, index.encode(), name="a.svs")[0] == 422
    assert files(work) == []


def test_another_hash_than_announced_is_refused(
    client: TestClient, work: Path, data: bytes
) -> None:
    status, problem = send(client, data, name="a.svs", sha256="0" * 64)
    assert status == 422
    assert "SHA-256" in str(problem["detail"])
    assert files(work) == []


def test_an_id_is_taken_once(client: TestClient, work: Path, data: bytes) -> None:
    assert send(client, data, name="a.svs")[0] == 201
    assert send(client, data, name="b.svs", id="a")[0] == 409
    assert (
        client.post("/api/v1/uploads", json={"name": "a.svs", "size_bytes": 10}).status_code == 409
    )
    assert client.post("/api/v1/slides", json={"path": "cmu.svs", "id": "a"}).status_code == 409


@pytest.mark.parametrize("name", ["a/b", "..", ".a", "a b", "ä", "x.dzi", "x_files", "-a", "a."])
def test_ids_that_are_not_safe_are_refused(client: TestClient, data: bytes, name: str) -> None:
    assert send(client, data, name="a.svs", id=name)[0] == 422
    answer = client.post("/api/v1/slides", json={"path": "cmu.svs", "id": name})
    assert answer.status_code == 422
    assert "no ID of a slide" in answer.json()["detail"]


def test_two_at_once_with_one_id_make_one_slide(
    client: TestClient, work: Path, data: bytes
) -> None:
    with ThreadPoolExecutor(3) as threads:
        found = [threads.submit(send, client, data, name="a.svs") for _ in range(3)]
        statuses = sorted(one.result()[0] for one in found)
    assert statuses == [201, 409, 409]
    assert files(work) == ["a", "a.svs"]
    assert (work / "slides" / "a" / "a.svs").read_bytes() == data


def test_pieces_make_a_slide(client: TestClient, work: Path, data: bytes) -> None:
    upload = begin(client, data, sha256=hashlib.sha256(data).hexdigest())
    half = len(data) // 2
    assert add(client, upload, 0, data[:half]) == 204
    shown = client.get(f"/api/v1/uploads/{upload}").json()
    assert (shown["offset"], shown["size_bytes"], shown["slide"]) == (half, len(data), None)
    assert client.get("/api/v1/slides/cmu").status_code == 404
    headers = PIECE | {"Upload-Offset": str(half)}
    last = client.patch(f"/api/v1/uploads/{upload}", content=data[half:], headers=headers)
    assert (last.status_code, last.headers["upload-offset"]) == (204, str(len(data)))
    assert client.get(f"/api/v1/uploads/{upload}").json()["slide"] == "cmu"
    assert client.get("/api/v1/slides/cmu").json()["pixels"]
    assert add(client, upload, len(data), b"") == 409


def test_an_upload_goes_on_after_a_restart(
    app: FastAPI, settings: ServeConfig, data: bytes
) -> None:
    with opened(app) as client:
        upload = begin(client, data)
        assert add(client, upload, 0, data[:100_000]) == 204
    with opened(create_app(settings)) as client:
        assert client.get(f"/api/v1/uploads/{upload}").json()["offset"] == 100_000
        assert add(client, upload, 100_000, data[100_000:]) == 204
        assert client.get("/api/v1/slides/cmu").json()["pixels"]


def test_a_complete_upload_whose_check_was_interrupted_is_checked_again(
    client: TestClient, work: Path, data: bytes
) -> None:
    upload = begin(client, data)
    (work / "uploads" / upload / "cmu.svs").write_bytes(data)  # all arrived, then a crash
    assert add(client, upload, len(data), b"") == 204
    assert client.get(f"/api/v1/uploads/{upload}").json()["slide"] == "cmu"


@pytest.mark.parametrize("offset", [0, 5, 20])
def test_a_piece_at_another_offset_is_refused(client: TestClient, data: bytes, offset: int) -> None:
    upload = begin(client, data)
    assert add(client, upload, 0, data[:10]) == 204
    assert add(client, upload, offset, b"x") == 409
    assert client.get(f"/api/v1/uploads/{upload}").json()["offset"] == 10


def test_more_than_announced_is_refused(client: TestClient, data: bytes) -> None:
    upload = begin(client, data[:1000])
    assert add(client, upload, 0, data[:1001]) == 413
    assert client.get(f"/api/v1/uploads/{upload}").json()["offset"] == 0

    def pieces() -> Iterator[bytes]:
        yield data[:900]
        yield data[900:1100]

    headers = PIECE | {"Upload-Offset": "0"}
    answer = client.patch(f"/api/v1/uploads/{upload}", content=pieces(), headers=headers)
    assert answer.status_code == 413
    assert client.get(f"/api/v1/uploads/{upload}").json()["offset"] <= 1000


def test_a_complete_upload_that_is_no_slide_is_removed(client: TestClient, work: Path) -> None:
    upload = begin(client, b"x" * 2000)
    assert add(client, upload, 0, b"x" * 2000) == 422
    assert client.get(f"/api/v1/uploads/{upload}").status_code == 404
    assert files(work) == []


def test_an_upload_that_is_given_up_leaves_nothing(
    client: TestClient, work: Path, data: bytes
) -> None:
    upload = begin(client, data)
    assert add(client, upload, 0, data[:5000]) == 204
    assert client.delete(f"/api/v1/uploads/{upload}").status_code == 204
    assert client.get(f"/api/v1/uploads/{upload}").status_code == 404
    assert files(work) == []


def test_an_upload_without_news_is_removed_after_a_day(
    client: TestClient, work: Path, data: bytes
) -> None:
    old, young = begin(client, data), begin(client, data, id="other")
    with client.app.state.database.writing() as session:  # type: ignore[attr-defined]
        session.get(UploadRow, old).changed = now() - datetime.timedelta(hours=25)
    begin(client, data, id="third")
    assert client.get(f"/api/v1/uploads/{old}").status_code == 404
    assert client.get(f"/api/v1/uploads/{young}").status_code == 200
    assert not (work / "uploads" / old).exists()


def test_larger_than_the_settings_allow_is_refused(
    settings: ServeConfig, work: Path, data: bytes
) -> None:
    with opened(create_app(settings.model_copy(update={"max_upload_gb": 1e-4}))) as client:
        assert send(client, data, name="a.svs")[0] == 413
        assert send(client, iter([data[:90_000], data[90_000:]]), name="a.svs")[0] == 413
        body = {"name": "a.svs", "size_bytes": len(data)}
        assert client.post("/api/v1/uploads", json=body).status_code == 413
        assert files(work) == []


def test_larger_than_the_disk_is_refused(settings: ServeConfig, data: bytes) -> None:
    with opened(create_app(settings.model_copy(update={"max_upload_gb": 1e9}))) as client:
        body = {"name": "a.svs", "size_bytes": 10**15}
        answer = client.post("/api/v1/uploads", json=body)
        assert answer.status_code == 503
        assert "full" in answer.json()["detail"]


def test_a_disk_that_fills_while_an_upload_comes_keeps_its_spare_room(
    client: TestClient, work: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = begin(client, data)
    free = shutil.disk_usage(work).free
    monkeypatch.setattr("service.slides.receiving.SPARE_BYTES", free + (1 << 40))
    headers = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    answer = client.patch(f"/api/v1/uploads/{upload}", content=data, headers=headers)
    assert answer.status_code == 503
    assert "full" in answer.json()["detail"]
    assert client.get(f"/api/v1/uploads/{upload}").json()["offset"] == 0
    monkeypatch.undo()
    sent = client.patch(f"/api/v1/uploads/{upload}", content=data, headers=headers)
    assert sent.status_code == 204


def test_another_media_type_is_refused(client: TestClient, data: bytes) -> None:
    answer = client.post("/api/v1/slides", content=data, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    upload = begin(client, data)
    headers = BYTES | {"Upload-Offset": "0"}
    path = f"/api/v1/uploads/{upload}"
    assert client.patch(path, content=b"a", headers=headers).status_code == 415
    assert client.post("/api/v1/slides", content=data, headers=BYTES).status_code == 422


def test_uploads_of_others_do_not_exist(client: TestClient, data: bytes, bearer: Bearer) -> None:
    mine, other = bearer("submit", name="me"), bearer("submit", name="other")
    admin, reader = bearer("submit", "admin", name="chief"), bearer("read", name="reader")
    body = {"name": "cmu.svs", "size_bytes": len(data)}
    made = client.post("/api/v1/uploads", json=body, headers=mine).json()["id"]
    path = f"/api/v1/uploads/{made}"
    assert client.get(path, headers=mine).status_code == 200
    assert client.get(path, headers=other).status_code == 404
    assert client.delete(path, headers=other).status_code == 404
    offset = PIECE | {"Upload-Offset": "0"}
    assert client.patch(path, content=b"x", headers=other | offset).status_code == 404
    assert client.get(path, headers=reader).status_code == 403
    assert client.get(path).status_code == 401
    assert client.get(path, headers=admin).status_code == 200


def test_one_request_at_a_time_may_add(client: TestClient, data: bytes) -> None:
    upload, started, go = begin(client, data), threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield data[:1000]
        started.set()
        go.wait(10)
        yield data[1000:2000]

    def slow() -> int:
        headers = PIECE | {"Upload-Offset": "0"}
        return client.patch(
            f"/api/v1/uploads/{upload}", content=pieces(), headers=headers
        ).status_code

    uploads = client.app.state.uploads  # type: ignore[attr-defined]
    caller = type("Caller", (), {"token_id": None, "scopes": ()})()
    row = uploads.find(upload, caller)
    with uploads.adding(row, 0):
        assert add(client, upload, 0, b"x") == 409
    go.set()
    assert slow() == 204
    assert client.get(f"/api/v1/uploads/{upload}").json()["offset"] == 2000


def test_deleting_an_uploaded_slide_deletes_its_file(
    client: TestClient, work: Path, data: bytes
) -> None:
    assert send(client, data, name="a.svs")[0] == 201
    assert client.get("/api/v1/slides/a_files/12/0_0.jpeg").status_code == 200
    assert client.delete("/api/v1/slides/a").status_code == 204
    assert client.get("/api/v1/slides/a_files/12/0_0.jpeg").status_code == 404
    assert client.get("/api/v1/slides/a").status_code == 404
    assert files(work) == []
    assert send(client, data, name="a.svs")[0] == 201


def test_what_a_killed_process_left_does_not_keep_an_id(
    client: TestClient, work: Path, data: bytes
) -> None:
    (work / "slides" / "a").mkdir(parents=True)
    (work / "slides" / "a" / "old.svs").write_bytes(b"moved, but its row was never written")
    assert send(client, data, name="a.svs")[0] == 201
    assert files(work) == ["a", "a.svs"]


def test_a_client_that_stops_in_the_middle_holds_up_nobody_and_goes_on_later(
    tmp_path: Path, data: bytes
) -> None:
    with serving("--work", tmp_path / "work", "--jobs", "0") as url:
        host, port = url.removeprefix("http://").split(":")
        body = {"name": "cmu.svs", "size_bytes": len(data)}
        upload = httpx.post(f"{url}/api/v1/uploads", json=body).json()["id"]
        path = f"/api/v1/uploads/{upload}"
        head = f"PATCH {path} HTTP/1.1\r\nHost: {host}\r\nUpload-Offset: 0\r\n"
        head += f"Content-Type: {PIECE['Content-Type']}\r\nContent-Length: {len(data)}\r\n\r\n"
        slow = [socket.create_connection((host, int(port))) for _ in range(50)]
        for one in slow[1:]:  # half a request each, of uploads that do not exist
            one.sendall(head.replace(upload, "none").encode() + data[:100])
        slow[0].sendall(head.encode() + data[:70_000])
        assert httpx.get(f"{url}/api/v1/slides", timeout=5).status_code == 200
        for one in slow:
            one.close()
        deadline = time.monotonic() + 10
        while (offset := httpx.get(url + path).json()["offset"]) < 70_000:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        rest = httpx.patch(
            url + path, content=data[offset:], headers=PIECE | {"Upload-Offset": str(offset)}
        )
        assert rest.status_code == 204
        assert httpx.get(f"{url}/api/v1/slides/cmu").json()["pixels"]
