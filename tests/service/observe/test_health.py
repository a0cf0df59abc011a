"""Alive and ready; a part that fails is named, without paths."""

import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.errors import UnavailableError
from service.observe import checks
from service.observe.checks import Readiness


def state(client: TestClient) -> Any:
    return client.app.state  # type: ignore[attr-defined]  # FastAPI has it


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again every time."""
    monkeypatch.setattr(checks, "FRESH_S", 0.0)


def test_all_is_well(bare: TestClient) -> None:
    answer = bare.get("/readyz")
    assert answer.status_code == 200
    assert set(answer.json()["checks"].values()) == {"ok"}
    assert bare.get("/healthz").json() == {"status": "ok"}


def test_a_folder_that_is_gone_is_noticed(bare: TestClient) -> None:
    moved = state(bare).work.rename(state(bare).work.parent / "moved")
    answer = bare.get("/readyz")
    moved.rename(state(bare).work)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "the folder of the service" in answer.json()["detail"]
    assert str(state(bare).work) not in answer.text
    assert bare.get("/healthz").status_code == 200
    assert bare.get("/readyz").status_code == 200


def test_a_damaged_archive_is_noticed(client: TestClient) -> None:
    assert client.get("/readyz").status_code == 200
    root = state(client).work / "demo.zarr" / "zarr.json"
    root.write_text("{")
    assert "an archive cannot be read" in client.get("/readyz").json()["detail"]


def test_a_database_that_cannot_be_written_to_is_noticed(
    bare: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "PATIENCE_S", 0.5)
    with sqlite3.connect(state(bare).work / "service.sqlite") as other:
        other.execute("BEGIN IMMEDIATE")
        answer = bare.get("/readyz")
        other.rollback()
    assert answer.status_code == 503
    assert "database has not answered" in answer.json()["detail"]


def test_a_cluster_that_is_gone_is_noticed(bare: TestClient) -> None:
    class Gone:
        def check(self) -> None:
            raise UnavailableError("the scheduler at tcp://192.0.2.1:8786 is gone")

    state(bare).cluster = Gone()
    answer = bare.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "the cluster that runs jobs does not answer"


async def _ask_often(ready: Readiness) -> list[dict[str, str]]:
    return [await ready.ask() for _ in range(5)]


def test_asking_often_asks_the_parts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(checks, "FRESH_S", 3600.0)
    asked: list[int] = []
    found = asyncio.run(_ask_often(Readiness({"database": lambda: asked.append(1)})))
    assert found == [{"database": "ok"}] * 5
    assert asked == [1]


def test_a_part_that_hangs_is_not_asked_twice_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(checks, "PATIENCE_S", 0.01)
    asked, go_on = [], threading.Event()

    def hang() -> None:
        asked.append(1)
        go_on.wait(10)

    async def ask() -> list[dict[str, str]]:
        found = await _ask_often(Readiness({"storage": hang}))
        go_on.set()
        return found

    assert "has not answered" in asyncio.run(ask())[4]["storage"]
    assert asked == [1]


def test_a_service_whose_folder_was_emptied_says_so(bare: TestClient, tmp_path: Path) -> None:
    shutil.rmtree(state(bare).work)
    assert bare.get("/readyz").status_code == 503
