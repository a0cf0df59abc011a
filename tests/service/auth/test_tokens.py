"""Who is let in, and who is not."""

import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, update
from starlette.testclient import TestClient

from service.app import create_app
from service.auth import known
from service.auth.store import create_token, list_tokens, revoke_token
from service.auth.tables import TokenRow
from service.database import now
from tests.service.conftest import bearer_of, opened
from workflows.serve import ServeConfig

ME = "/api/v1/me"


def state(client: TestClient) -> Any:
    return client.app.state  # type: ignore[attr-defined]  # FastAPI has it


def test_without_tokens_this_machine_may_do_everything(bare: TestClient) -> None:
    assert bare.get(ME).json() == {
        "name": "local",
        "scopes": ["admin", "phi", "read", "submit"],
        "token_id": None,
    }


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "2001:db8::1", "testclient", ""])
def test_without_tokens_other_machines_may_do_nothing(tmp_path: Path, address: str) -> None:
    with opened(create_app(ServeConfig(work=str(tmp_path), jobs=0)), address) as client:
        assert client.get(ME).status_code == 401


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_has_many_addresses(tmp_path: Path, address: str) -> None:
    with opened(create_app(ServeConfig(work=str(tmp_path), jobs=0)), address) as client:
        assert client.get(ME).status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
def test_what_a_proxy_sends_on_is_not_of_this_machine(bare: TestClient, header: str) -> None:
    assert bare.get(ME, headers={header: "127.0.0.1"}).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("[::1]:8000", 200),
        ("evil.example.org", 403),
        ("127.0.0.1.evil.example.org", 403),
        ("192.0.2.1", 403),
        ("", 403),
    ],
)
def test_names_that_are_made_to_point_here_do_not_count(
    bare: TestClient, host: str, status: int
) -> None:
    assert bare.get(ME, headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}, 201),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example.org"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_pages_of_other_sites_change_nothing(
    bare: TestClient, headers: dict[str, str], status: int
) -> None:
    body = {"name": "x", "scopes": ["read"]}
    assert bare.post("/api/v1/tokens", json=body, headers=headers).status_code == status


def test_the_first_token_closes_the_door(bare: TestClient) -> None:
    assert bare.get(ME).status_code == 200
    headers = bearer_of(bare)("read", name="viewer")
    assert bare.get(ME).status_code == 401
    assert bare.get(ME, headers=headers).json()["name"] == "viewer"


def test_a_revoked_token_does_not_open_the_door_to_all(bare: TestClient) -> None:
    headers = bearer_of(bare)("read")
    revoke_token(state(bare).database, 1)
    state(bare).tokens.forget()
    assert bare.get(ME).status_code == 401
    assert bare.get(ME, headers=headers).status_code == 401


def test_an_expired_token_is_refused(bare: TestClient) -> None:
    make = bearer_of(bare)
    headers = make("read", days=1)
    assert bare.get(ME, headers=headers).status_code == 200
    with state(bare).database.writing() as session:
        session.execute(update(TokenRow).values(expires=now() - datetime.timedelta(seconds=1)))
    state(bare).tokens.forget()
    assert bare.get(ME, headers=headers).status_code == 401


def test_the_secret_must_be_that_of_the_token(bare: TestClient) -> None:
    make = bearer_of(bare)
    _, second = (make("read")["Authorization"].split("_", 2)[2] for _ in range(2))
    swapped = {"Authorization": f"Bearer mt_1_{second}"}
    assert bare.get(ME, headers=swapped).status_code == 401


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer ", "Basic YTpi", "mt_1_x", "Bearer mt_1_" + "a" * 43]
)
def test_anything_else_is_refused_even_without_tokens(bare: TestClient, value: str) -> None:
    answer = bare.get(ME, headers={"Authorization": value})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_asking_again_reads_nothing_from_the_database(
    bare: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "FRESH_S", 3600.0)
    headers = bearer_of(bare)("read")
    assert bare.get(ME, headers=headers).status_code == 200
    asked: list[str] = []
    event.listen(
        state(bare).database.engine, "before_cursor_execute", lambda *args: asked.append(args[2])
    )
    for _ in range(20):
        assert bare.get(ME, headers=headers).status_code == 200
    assert asked == []


def test_what_another_process_revokes_is_refused_when_it_is_read_again(
    bare: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = bearer_of(bare)("read")
    assert bare.get(ME, headers=headers).status_code == 200
    revoke_token(state(bare).database, 1)  # as the command does: this process is not told
    monkeypatch.setattr(known, "FRESH_S", 0.0)
    assert bare.get(ME, headers=headers).status_code == 401


def test_the_last_use_is_written_down(bare: TestClient) -> None:
    headers = bearer_of(bare)("read")
    database = state(bare).database
    assert list_tokens(database)[0].last_used is None
    bare.get(ME, headers={"Authorization": "Bearer mt_1_" + "a" * 43})
    assert list_tokens(database)[0].last_used is None
    bare.get(ME, headers=headers)
    state(bare).tokens.forget()
    bare.get(ME, headers=headers)
    assert list_tokens(database)[0].last_used is not None


def test_inventing_tokens_fills_no_memory(
    bare: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "MOST", 10)
    for number in range(1, 50):
        bare.get(ME, headers={"Authorization": f"Bearer mt_{number}_" + "a" * 43})
    assert len(state(bare).tokens.known._entries) == 10


def test_names_may_look_like_anything(bare: TestClient) -> None:
    token, _ = create_token(state(bare).database, "[bold]<b>'; DROP TABLE tokens", ("read",))
    assert list_tokens(state(bare).database)[0].name == token.name
