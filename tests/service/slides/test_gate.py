"""The short way of tiles: what fails there is told by the route, never by a bare 500."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.testclient import TestClient

from tests.service.slides.conftest import register
from tiling.errors import StoreError

TILE = "/api/v1/slides/cmu_files/12/1_1.jpeg"


def test_a_database_that_is_gone_is_a_problem_of_the_tile(client: TestClient) -> None:
    register(client, "cmu.svs")
    assert client.get(TILE).status_code == 200  # from here on the gate answers
    state = client.app.state  # type: ignore[attr-defined]  # FastAPI has it
    with state.database.writing() as session:
        session.execute(text("ALTER TABLE tokens RENAME TO gone"))
    state.tokens.known.forget()
    answer = client.get(TILE)
    assert answer.status_code == 503, answer.text
    assert answer.json()["detail"] == "the database does not answer"


@pytest.mark.parametrize(
    "error",
    [PoolTimeoutError("full"), InterfaceError("SELECT", {}, Exception()), StoreError("gone")],
    ids=["pool", "interface", "store"],
)
def test_every_known_error_falls_through_to_the_route(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    register(client, "cmu.svs")
    assert client.get(TILE).status_code == 200
    tiles = client.app.state.tiles  # type: ignore[attr-defined]

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(tiles, "recall", fail)  # the route does not ask it
    answer = client.get(TILE)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
