"""Addresses that hold what is no text are refused before any database sees them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from tests.service.conftest import opened
from tests.service.postgres import Server, postgres  # noqa: F401 - a fixture
from workflows.serve import ServeConfig


@pytest.fixture
def on_postgres(tmp_path: Path, postgres: Server) -> Iterator[TestClient]:  # noqa: F811
    """The service on a database that takes no NUL."""
    settings = ServeConfig(work=str(tmp_path), jobs=0, database=postgres.new_database())
    with opened(create_app(settings)) as client:
        yield client


ADDRESSES = (
    "/api/v1/slides/%00",
    "/api/v1/slides/a%00b_files/0/0_0.jpeg",
    "/api/v1/slides/%ED%A0%80",
    "/api/v1/slides?q=%00",
    "/api/v1/audit?action=%00",
    "/api/v1/audit?action=%ED%A0%80",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_no_text_is_refused(bare: TestClient, address: str) -> None:
    answer = bare.get(address)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["tum%C3%B6r", "%F0%9F%94%AC", "%EF%BF%BD"])
def test_text_of_any_language_passes(bare: TestClient, name: str) -> None:
    assert bare.get(f"/api/v1/slides/{name}?q={name}").status_code == 404
    assert bare.get(f"/api/v1/slides?q={name}").status_code == 200


def test_nul_is_no_error_of_the_service_on_any_database(on_postgres: TestClient) -> None:
    for address in ADDRESSES:
        assert on_postgres.get(address).status_code == 400
    body = {"name": "a\0b", "scopes": ["read"]}
    assert on_postgres.post("/api/v1/tokens", json=body).status_code == 422
    upload = {"name": "a.svs", "size_bytes": 9, "id": "a\0b"}
    assert on_postgres.post("/api/v1/uploads", json=upload).status_code == 422
    order = {"workflow": "tile\0", "config": {}}
    assert on_postgres.post("/api/v1/jobs", json=order).status_code in (404, 422)
