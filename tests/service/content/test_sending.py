import email.utils
from pathlib import Path

import pytest
from fastapi import FastAPI, Request, Response
from starlette.testclient import TestClient

from service.content.sending import of_bytes, of_file, send, stream
from service.problems import install_problems

DATA = bytes(range(256)) * 20


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """An application that sends one file, and the same from memory."""
    path = tmp_path / "file"
    path.write_bytes(DATA)
    app = FastAPI()
    install_problems(app)

    @app.get("/file")
    def file(request: Request) -> Response:
        return send(request, of_file(path, "tag", "application/x-any", "a.bin"))

    @app.get("/memory")
    def memory(request: Request) -> Response:
        return send(request, of_bytes(DATA, "tag", "application/x-any"))

    @app.get("/broken")
    def broken() -> Response:
        return stream(iter([b"", b"", b"last"]), "tag", "application/x-any", "b.bin")

    return TestClient(app)


@pytest.mark.parametrize(
    ("asked", "part", "told"),
    [
        ("bytes=0-0", slice(0, 1), "0-0"),
        ("bytes=10-19", slice(10, 20), "10-19"),
        ("bytes=5000-", slice(5000, None), "5000-5119"),
        ("bytes=5000-99999", slice(5000, None), "5000-5119"),
        ("bytes=-120", slice(5000, None), "5000-5119"),
        ("bytes=-99999", slice(0, None), "0-5119"),
    ],
)
def test_a_part_is_sent(client: TestClient, asked: str, part: slice, told: str) -> None:
    answer = client.get("/file", headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == DATA[part]
    assert answer.headers["content-range"] == f"bytes {told}/{len(DATA)}"
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize(
    "asked", ["bytes=-", "bytes=a-b", "lines=1-2", "bytes=9-3", "bytes=0-1,4-5", "", "bytes=-1-2"]
)
def test_what_makes_no_sense_gives_all_of_it(client: TestClient, asked: str) -> None:
    answer = client.get("/file", headers={"Range": asked})
    assert answer.status_code == 200
    assert answer.content == DATA


def test_what_is_in_memory_is_sent_as_a_whole(client: TestClient) -> None:
    answer = client.get("/memory", headers={"Range": "bytes=0-9"})
    assert answer.status_code == 200
    assert answer.content == DATA
    assert "accept-ranges" not in answer.headers


@pytest.mark.parametrize("asked", ["bytes=5120-", "bytes=99999999999999999999999-", "bytes=-0"])
def test_what_lies_beyond_the_end_is_refused(client: TestClient, asked: str) -> None:
    answer = client.get("/file", headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(DATA)}"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("known", "status"),
    [('"tag"', 304), ('W/"tag"', 304), ('"a", "tag"', 304), ("*", 304), ('"other"', 200)],
)
def test_a_known_tag_is_not_sent_again(client: TestClient, known: str, status: int) -> None:
    assert client.get("/file", headers={"If-None-Match": known}).status_code == status


def test_a_known_time_is_not_sent_again(client: TestClient) -> None:
    at = client.get("/file").headers["last-modified"]
    before = email.utils.formatdate(
        email.utils.parsedate_to_datetime(at).timestamp() - 1, usegmt=True
    )
    for since, status in ((at, 304), (before, 200), ("yesterday", 200)):
        assert client.get("/file", headers={"If-Modified-Since": since}).status_code == status


@pytest.mark.parametrize(("known", "status"), [('"tag"', 206), ('"other"', 200), ("never", 200)])
def test_a_part_of_another_version_is_not_sent(client: TestClient, known: str, status: int) -> None:
    headers = {"Range": "bytes=0-9", "If-Range": known}
    assert client.get("/file", headers=headers).status_code == status


def test_empty_blocks_do_not_end_a_stream(client: TestClient) -> None:
    assert client.get("/broken").content == b"last"
