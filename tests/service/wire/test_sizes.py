"""What is too long is refused, in problem details."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.wire.sizes import is_upload
from tests.service.conftest import opened
from workflows.serve import ServeConfig

TOKENS = "/api/v1/tokens"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[TestClient]:
    """A body may have one kB."""
    with opened(create_app(ServeConfig(work=str(tmp_path), jobs=0, max_body_kb=1))) as client:
        yield client


def test_a_long_body_is_refused_by_its_length(small: TestClient) -> None:
    answer = small.post(TOKENS, json={"name": "x" * 2000, "scopes": ["read"]})
    assert answer.status_code == 413
    assert answer.json()["detail"] == "a body may have 1,024 bytes"


def test_a_long_body_without_a_length_is_refused_when_it_is_too_long(small: TestClient) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    headers = {"Content-Type": "application/json"}
    answer = small.post(TOKENS, content=parts(), headers=headers)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_short_body_passes(small: TestClient) -> None:
    assert small.post(TOKENS, json={"name": "x", "scopes": ["read"]}).status_code == 201


def test_a_long_address_is_refused(small: TestClient) -> None:
    assert small.get("/api/v1/slides?q=" + "x" * 9000).status_code == 414
    assert small.get("/api/v1/slides/" + "x" * 9000).status_code == 414


@pytest.mark.parametrize(
    "headers",
    [{"X-Long": "x" * 40_000}, {f"X-{number}": "x" for number in range(200)}],
    ids=["long", "many"],
)
def test_long_headers_are_refused(small: TestClient, headers: dict[str, str]) -> None:
    assert small.get("/healthz", headers=headers).status_code == 431


@pytest.mark.parametrize(
    ("method", "path", "kind", "upload"),
    [
        ("POST", "/api/v1/slides", "application/octet-stream", True),
        ("POST", "/api/v1/slides", "application/json", False),
        ("POST", "/api/v1/slides", "application/json; charset=utf-8", False),
        ("POST", "/api/v1/slides", "Application/JSON", False),
        ("POST", "/api/v1/slides/x", "application/octet-stream", False),
        ("POST", "/api/v1/jobs", "application/octet-stream", False),
        ("PATCH", "/api/v1/uploads/7", "application/offset+octet-stream", True),
        ("POST", "/api/v1/uploads", "application/json", False),
    ],
)
def test_only_uploads_may_be_long(method: str, path: str, kind: str, upload: bool) -> None:
    assert is_upload(method, path, kind) == upload


@pytest.mark.parametrize("kind", ["application/json", "Application/json", " APPLICATION/JSON;a=b"])
def test_a_long_registration_is_refused_however_its_type_is_written(
    small: TestClient, kind: str
) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 100

    answer = small.post("/api/v1/slides", content=parts(), headers={"Content-Type": kind})
    assert answer.status_code == 413
