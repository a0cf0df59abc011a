"""Headers of every answer, names of the service, pages of other origins."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from tests.service.conftest import opened
from workflows.serve import ServeConfig

PAGE = "https://viewer.example.org"


@pytest.mark.parametrize(
    "path", ["/healthz", "/api/v1/me", "/nothing", "/metrics", "/api/v1/openapi.json"]
)
def test_every_answer_says_what_a_browser_may_do(bare: TestClient, path: str) -> None:
    headers = bare.get(path).headers
    policy = dict(one.split(" ", 1) for one in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


def test_answers_about_people_are_kept_by_nobody(bare: TestClient) -> None:
    assert bare.get("/api/v1/me").headers["cache-control"] == "no-store"


def test_without_a_setting_other_origins_get_nothing(bare: TestClient) -> None:
    headers = bare.get("/api/v1/me", headers={"Origin": PAGE}).headers
    assert "access-control-allow-origin" not in headers


def test_origins_of_the_settings_may_ask(tmp_path: Path) -> None:
    settings = ServeConfig(work=str(tmp_path), jobs=0, cors_origins=(PAGE,))
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    with opened(create_app(settings)) as client:
        headers = client.get("/api/v1/me", headers={"Origin": PAGE}).headers
        assert headers["access-control-allow-origin"] == PAGE
        assert "access-control-allow-credentials" not in headers
        assert "X-Request-ID" in headers["access-control-expose-headers"]
        assert headers["cross-origin-resource-policy"] == "cross-origin"
        before = client.options("/api/v1/tokens", headers=asked)
        assert before.status_code == 200
        assert "POST" in before.headers["access-control-allow-methods"]
        body = {"name": "x", "scopes": ["read"]}
        made = client.post("/api/v1/tokens", json=body, headers={"Origin": PAGE})
        assert made.status_code == 201
        other = client.get("/api/v1/me", headers={"Origin": "https://evil.example.org"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [("slides.example.org", 200), ("127.0.0.1", 200), ("evil.example.org", 421)],
)
def test_names_of_the_settings_are_the_only_ones(tmp_path: Path, host: str, status: int) -> None:
    settings = ServeConfig(work=str(tmp_path), jobs=0, hosts=("slides.example.org",))
    with opened(create_app(settings)) as client:
        assert client.get("/api/v1/me", headers={"Host": host}).status_code == status
        assert client.get("/healthz", headers={"Host": host}).status_code == 200
