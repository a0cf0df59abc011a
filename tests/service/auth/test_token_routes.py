"""Tokens over HTTP."""

from starlette.testclient import TestClient

from tests.service.conftest import bearer_of

TOKENS = "/api/v1/tokens"


def test_a_token_is_made_used_listed_and_revoked(bare: TestClient) -> None:
    admin = bearer_of(bare)("admin", "phi", name="boss")
    body = {"name": "viewer", "scopes": ["read", "phi"], "days": 2}
    made = bare.post(TOKENS, json=body, headers=admin)
    assert made.status_code == 201
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    assert bare.get("/api/v1/me", headers=headers).json()["scopes"] == ["phi", "read"]
    listed = bare.get(TOKENS, headers=admin)
    assert [(one["name"], one["state"]) for one in listed.json()["items"]] == [
        ("boss", "valid"),
        ("viewer", "valid"),
    ]
    assert made.json()["token"].split("_", 2)[2] not in listed.text
    gone = bare.delete(f"{TOKENS}/{made.json()['id']}", headers=admin)
    assert gone.json()["state"] == "revoked"
    assert bare.get("/api/v1/me", headers=headers).status_code == 401
    assert bare.delete(f"{TOKENS}/77", headers=admin).status_code == 404


def test_an_administrator_without_phi_does_not_give_it(bare: TestClient) -> None:
    admin = bearer_of(bare)("admin", name="boss")
    asked = {"name": "viewer", "scopes": ["read", "phi"]}
    assert bare.post(TOKENS, json=asked, headers=admin).status_code == 403
    assert len(bare.get(TOKENS, headers=admin).json()["items"]) == 1


def test_the_list_has_pages(bare: TestClient) -> None:
    make = bearer_of(bare)
    headers, *_ = [make("admin", name=str(number)) for number in range(7)]
    seen, cursor = [], None
    while True:
        found = bare.get(
            TOKENS, params={"limit": 3} | ({"cursor": cursor} if cursor else {}), headers=headers
        ).json()
        seen += [one["name"] for one in found["items"]]
        cursor = found["next_cursor"]
        if cursor is None:
            break
        assert len(found["items"]) == 3
    assert seen == [str(number) for number in range(7)]
    assert bare.get(TOKENS, params={"cursor": "x"}, headers=headers).status_code == 422


def test_what_is_done_to_tokens_is_on_record(bare: TestClient) -> None:
    admin = bearer_of(bare)("admin", name="boss")
    named = admin | {"X-Request-ID": "abc-1"}
    bare.post(TOKENS, json={"name": "viewer", "scopes": ["read"]}, headers=named)
    bare.delete(f"{TOKENS}/2", headers=admin)
    last, first = bare.get("/api/v1/audit", headers=admin).json()["items"]
    assert (last["action"], last["subject"], last["caller"]) == ("token.revoke", "2", "boss")
    assert first["action"] == "token.create"
    assert (first["request_id"], first["address"], first["token_id"]) == ("abc-1", "127.0.0.1", 1)
    assert first["at"].endswith("Z")


def test_the_record_has_pages_and_is_chosen_by_action(bare: TestClient) -> None:
    bare.headers.update(bearer_of(bare)("admin"))
    for number in range(5):
        bare.post(TOKENS, json={"name": str(number), "scopes": ["read"]})
    bare.delete(f"{TOKENS}/2")
    page = bare.get("/api/v1/audit", params={"limit": 4}).json()
    rest = bare.get("/api/v1/audit", params={"limit": 4, "cursor": page["next_cursor"]}).json()
    ids = [one["id"] for one in page["items"] + rest["items"]]
    assert ids == [6, 5, 4, 3, 2, 1]
    assert rest["next_cursor"] is None
    chosen = bare.get("/api/v1/audit", params={"action": "token.revoke"}).json()["items"]
    assert [one["id"] for one in chosen] == [6]
