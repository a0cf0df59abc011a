"""JSON goes compressed, and nothing else does."""

import gzip
import json
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from starlette.testclient import TestClient

from service.wire.compression import JsonGzip, takes_gzip

ROWS = [{"number": number, "name": f"slide {number}"} for number in range(20_000)]
LONG = json.dumps(ROWS).encode()
GZIP = {"Accept-Encoding": "gzip"}


def make() -> FastAPI:
    app = FastAPI()
    app.add_middleware(JsonGzip)

    @app.get("/give")
    def give(kind: str, length: int, tag: str = "") -> Response:
        headers = {"ETag": tag} if tag else {}
        return Response(LONG[:length], media_type=kind, headers=headers)

    @app.get("/stream")
    def stream(kind: str) -> StreamingResponse:
        parts = (LONG[at : at + 7001] for at in range(0, len(LONG), 7001))
        return StreamingResponse(parts, media_type=kind)

    @app.get("/part")
    def part() -> Response:
        headers = {"Content-Range": f"bytes 0-4999/{len(LONG)}"}
        return Response(LONG[:5000], 206, headers, "application/json")

    return app


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(make(), headers=GZIP) as client:
        yield client


@pytest.mark.parametrize("length", [1024, 5000, len(LONG)])
@pytest.mark.parametrize("kind", ["application/json", "application/geo+json"])
def test_json_goes_compressed(client: TestClient, kind: str, length: int) -> None:
    with client.stream("GET", "/give", params={"kind": kind, "length": length}) as answer:
        body = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert int(answer.headers["content-length"]) == len(body) < length
    assert gzip.decompress(body) == LONG[:length]


def test_a_stream_of_json_goes_compressed(client: TestClient) -> None:
    with client.stream("GET", "/stream", params={"kind": "application/json"}) as answer:
        body = b"".join(answer.iter_raw())
    assert "content-length" not in answer.headers
    assert gzip.decompress(body) == LONG


@pytest.mark.parametrize(
    "kind", ["image/jpeg", "image/png", "application/octet-stream", "application/vnd.apache.arrow"]
)
@pytest.mark.parametrize("path", ["/give", "/stream"])
def test_anything_else_goes_as_it_is(client: TestClient, path: str, kind: str) -> None:
    answer = client.get(path, params={"kind": kind, "length": len(LONG)})
    assert "content-encoding" not in answer.headers
    assert answer.content == LONG


def test_events_are_not_held_back(client: TestClient) -> None:
    answer = client.get("/stream", params={"kind": "text/event-stream"})
    assert "content-encoding" not in answer.headers


def test_short_answers_and_parts_go_as_they_are(client: TestClient) -> None:
    short = client.get("/give", params={"kind": "application/json", "length": 1023})
    assert "content-encoding" not in short.headers
    assert short.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in client.get("/part").headers


def test_who_does_not_take_it_does_not_get_it(client: TestClient) -> None:
    params = {"kind": "application/json", "length": 5000}
    answer = client.get("/give", params=params, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in answer.headers


def test_a_tag_of_compressed_bytes_is_weak(client: TestClient) -> None:
    params = {"kind": "application/json", "length": 5000, "tag": '"a"'}
    assert client.get("/give", params=params).headers["etag"] == 'W/"a"'
    assert client.get("/give", params=params | {"length": 100}).headers["etag"] == '"a"'


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("br", False),
        ("", False),
        ("xgzip", False),
    ],
)
def test_weights_are_read(accepted: str, taken: bool) -> None:
    assert takes_gzip(accepted) == taken
