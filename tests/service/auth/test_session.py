"""The cookie of the viewer."""

from http.cookies import SimpleCookie

import pytest
from starlette.testclient import TestClient

from tests.service.conftest import bearer_of

SESSION, ME, TOKENS = "/api/v1/session", "/api/v1/me", "/api/v1/tokens"
NEW = {"name": "another", "scopes": ["read"]}


@pytest.fixture
def token(bare: TestClient) -> str:
    headers = bearer_of(bare)("read", "admin", name="viewer", days=30)
    return headers["Authorization"].removeprefix("Bearer ")


def test_scripts_cannot_read_the_cookie_and_other_sites_do_not_send_it(
    bare: TestClient, token: str
) -> None:
    answer = bare.post(SESSION, json={"token": token})
    assert answer.json()["name"] == "viewer"
    (cookie,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert cookie["httponly"] is True
    assert cookie["samesite"].lower() == "strict"
    assert cookie["path"] == "/"
    assert cookie["expires"]  # with the token
    assert not cookie["secure"]


def test_over_https_the_cookie_goes_over_https_only(bare: TestClient, token: str) -> None:
    answer = bare.post("https://127.0.0.1" + SESSION, json={"token": token})
    assert "secure" in answer.headers["set-cookie"].lower()


def test_the_cookie_counts_for_reading(bare: TestClient, token: str) -> None:
    assert bare.get(ME).status_code == 401
    bare.post(SESSION, json={"token": token})
    assert bare.get(ME).json()["name"] == "viewer"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example.org"}, 403),
        ({"Origin": "https://evil.example.org", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Origin": "http://127.0.0.1"}, 201),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
    ],
)
def test_for_changing_it_needs_to_be_a_page_of_ours(
    bare: TestClient, token: str, headers: dict[str, str], status: int
) -> None:
    bare.post(SESSION, json={"token": token})
    assert bare.post(TOKENS, json=NEW, headers=headers).status_code == status


def test_a_wrong_token_makes_no_session(bare: TestClient, token: str) -> None:
    for wrong in (token[:-1] + "!", token[:-2], "x"):
        answer = bare.post(SESSION, json={"token": wrong})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


def test_other_sites_log_nobody_in(bare: TestClient, token: str) -> None:
    headers = {"Origin": "https://evil.example.org"}
    answer = bare.post(SESSION, json={"token": token}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_the_session_ends(bare: TestClient, token: str) -> None:
    bare.post(SESSION, json={"token": token})
    assert bare.delete(SESSION).status_code == 204
    assert bare.get(ME).status_code == 401


def test_a_stale_cookie_does_not_lock_out_where_no_token_exists(bare: TestClient) -> None:
    bare.cookies.set("microtome_session", "mt_1_" + "a" * 43)
    assert bare.get(ME).json()["name"] == "local"
