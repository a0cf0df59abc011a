"""Every route of the table, whoever asks: a new one cannot be forgotten."""

import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import update
from starlette.testclient import TestClient

from service.app import create_app
from service.auth.access import SCOPES
from service.auth.store import revoke_token
from service.auth.tables import TokenRow
from service.database import now
from service.openapi import operations, scopes
from tests.service.conftest import Bearer, bearer_of, opened
from workflows.serve import ServeConfig

APP = create_app(ServeConfig(work="unused"))
NEEDED = scopes(APP)
FREE = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/version"),
    ("GET", "/metrics"),  # looks at the peer first; test_metrics.py
    ("POST", "/api/v1/session"),  # the token is in the body; test_session.py
    ("DELETE", "/api/v1/session"),
    ("GET", "/api/v1/openapi.json"),
    ("HEAD", "/api/v1/openapi.json"),
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/docs"),
    ("HEAD", "/docs"),
    ("GET", "/viewer/{path}"),
    ("HEAD", "/viewer/{path}"),
}
"""They hold no data, or look after themselves."""
SOMEONE = {("GET", "/api/v1/me")}
"""Any token opens it."""
ROUTES = sorted(
    (method, str(route.path_format or route.path))
    for route in iter_route_contexts(APP.routes)
    for method in route.methods or ()
)
GUARDED = sorted(set(ROUTES) - FREE)
VALUES = {
    "slide_id": "CMU-1-Small-Region",
    "name": "tissue",
    "encoder": "colour-layout",
    "level": "0",
    "column": "0",
    "row": "0",
    "index": "0",
    "token_id": "1",
}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Bearer]]:
    """One application for all; nothing gets far enough to change it."""
    settings = ServeConfig(work=str(tmp_path_factory.mktemp("work")), jobs=0)
    with opened(create_app(settings)) as client:
        make = bearer_of(client)
        make("read", name="first")
        yield client, make


def ask(client: TestClient, route: tuple[str, str], headers: dict[str, str]) -> Any:
    """Ask a route for something, with values that make sense."""
    method, path = route
    path = re.sub(r"{(\w+)(:\w+)?}", lambda part: VALUES.get(part[1], "x1"), path)
    if method in ("POST", "PATCH"):
        headers = headers | {"Content-Type": "application/json"}
        return client.request(method, path, headers=headers, content=b"{}")
    return client.request(method, path, headers=headers)


def told(answer: Any, status: int) -> bool:
    """Whether it is refused with this status, in problem details."""
    problem = answer.headers.get("content-type") == "application/problem+json"
    return answer.status_code == status and (problem or answer.request.method == "HEAD")


def test_every_route_asks_for_a_scope_or_is_known_to_be_free() -> None:
    unknown = set(ROUTES) - set(NEEDED) - FREE - SOMEONE
    assert unknown == set()
    assert set(NEEDED) & FREE == set()


@pytest.mark.parametrize("route", GUARDED, ids=" ".join)
def test_nobody_gets_in_without_a_valid_token(
    asked: tuple[TestClient, Bearer], route: tuple[str, str]
) -> None:
    client, make = asked
    assert told(ask(client, route, {}), 401), "no token"
    bad = {"Authorization": "Bearer mt_1_" + "x" * 43}
    assert told(ask(client, route, bad), 401), "wrong secret"
    state: Any = client.app.state  # type: ignore[attr-defined]  # FastAPI has it
    for how in ("revoked", "expired"):
        headers = make(*SCOPES)
        number = int(headers["Authorization"].split("_")[1])
        if how == "revoked":
            revoke_token(state.database, number)
        else:
            past = now() - datetime.timedelta(seconds=1)
            with state.database.writing() as session:
                session.execute(update(TokenRow).where(TokenRow.id == number).values(expires=past))
        assert told(ask(client, route, headers), 401), how


@pytest.mark.parametrize("route", sorted(NEEDED), ids=" ".join)
def test_every_other_scope_is_refused(
    asked: tuple[TestClient, Bearer], route: tuple[str, str]
) -> None:
    client, make = asked
    others = [scope for scope in SCOPES if scope != NEEDED[route]]
    answer = ask(client, route, make(*others))
    assert told(answer, 403)
    if route[0] != "HEAD":
        assert NEEDED[route] in answer.json()["detail"]


@pytest.mark.parametrize("route", sorted(NEEDED), ids=" ".join)
def test_the_right_scope_gets_past_the_door(
    asked: tuple[TestClient, Bearer], route: tuple[str, str]
) -> None:
    client, make = asked
    if route == ("DELETE", "/api/v1/tokens/{token_id}"):
        pytest.skip("it would work; see test_token_routes.py")
    answer = ask(client, route, make(NEEDED[route]))  # type: ignore[arg-type]  # it is one
    assert answer.status_code not in (401, 403, 405)
    assert answer.status_code < 500


def test_the_document_describes_every_route_and_its_dangers(tmp_path: Path) -> None:
    document = APP.openapi()
    described = {(method, path) for path, method, _ in operations(document)}
    pages = {(method, path) for method, path in FREE if not path.startswith("/api/")}
    hidden = {route for route in ROUTES if route[0] == "HEAD"} | {("GET", "/api/v1/openapi.json")}
    missing = set(ROUTES) - described - hidden - pages
    assert missing == set()
    known_tags = {tag["name"] for tag in document["tags"]}
    for path, method, operation in operations(document):
        route = f"{method} {path}"
        assert operation["tags"], route
        assert set(operation["tags"]) <= known_tags, route
        assert 10 < len(operation["summary"]) < 120, route
        needs = {"401", "403", "429"} if (method, path) in NEEDED else set()
        assert needs <= set(operation["responses"]), route
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert set(response["content"]) == {"application/problem+json"}, (route, status)
            assert response["description"], route


def test_operations_are_named_once() -> None:
    names = [operation["operationId"] for _, _, operation in operations(APP.openapi())]
    assert len(names) == len(set(names))
    assert all(re.fullmatch("[a-z][a-z0-9_]*", name) for name in names)


@pytest.fixture
def job(client: TestClient, slides_root: Path) -> tuple[str, Bearer]:
    """ID of a job of one token, and what makes others."""
    del slides_root
    make = bearer_of(client)
    owner = make("read", "submit", "admin", name="owner")
    body = {"path": "cmu.svs", "id": "cmu"}
    assert client.post("/api/v1/slides", json=body, headers=owner).status_code == 201
    order = {"workflow": "tile", "config": {"slides": ["cmu"], "out": "a.zarr"}}
    made = client.post("/api/v1/jobs", json=order, headers=owner)
    assert made.status_code == 202, made.text
    return made.json()["id"], make


OF_JOBS = [route for route in ROUTES if "{job_id}" in route[1]]


@pytest.mark.parametrize("route", OF_JOBS, ids=" ".join)
def test_the_job_of_another_does_not_exist(
    client: TestClient, job: tuple[str, Bearer], route: tuple[str, str]
) -> None:
    job_id, make = job
    other = make("read", "submit", "phi", name="other")
    method, path = route
    path = path.replace("{job_id}", job_id).replace("{path}", "x")
    assert told(client.request(method, path, headers=other), 404)
    listed = client.get("/api/v1/jobs", headers=other).json()
    assert listed["items"] == []
    if method == "GET" and "files/" not in path and "outcome" not in path and "events" not in path:
        boss = make("read", "admin", name="boss")
        assert client.get(path, headers=boss).status_code == 200
