"""What Prometheus reads."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from tests.service.conftest import bearer_of, opened


def read(client: TestClient, **named: str) -> dict[tuple[str, ...], float]:
    """Read the samples: name and values of labels, in the labels' order."""
    text = client.get("/metrics", **({"headers": named} if named else {})).text  # type: ignore[arg-type]
    return {
        (one.name, *(one.labels[label] for label in sorted(one.labels))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_requests_are_counted_by_the_template_of_their_route(bare: TestClient) -> None:
    for number in (5, 6, 7):
        bare.delete(f"/api/v1/tokens/{number}")
    for name in ("a", "b"):
        bare.get(f"/nothing/{name}")
    found = read(bare)
    route = "/api/v1/tokens/{token_id}"
    assert found["microtome_requests_total", "DELETE", route, "404"] == 3
    assert found["microtome_request_seconds_count", "DELETE", route] == 3
    assert found["microtome_requests_total", "GET", "other", "404"] == 2
    assert found["microtome_requests_in_progress",] == 1  # this one


def test_inventing_paths_and_methods_makes_no_new_series(bare: TestClient) -> None:
    read(bare)
    before = len(read(bare))
    for number in range(50):
        bare.request(f"BREW{number}", f"/nothing/{number}")
    after = read(bare)
    assert after["microtome_requests_total", "other", "other", "404"] == 50
    assert len(after) - before < 25


def test_memory_of_this_process_is_told(bare: TestClient) -> None:
    assert read(bare)["process_resident_memory_bytes",] > 10e6


def test_jobs_and_workers_are_asked_for(bare: TestClient) -> None:
    class Jobs:
        def depth(self) -> dict[str, int]:
            return {"queued": 3, "running": 1}

    class Cluster:
        def memory(self) -> dict[str, float]:
            return {"worker-0": 5e8}

    state: Any = bare.app.state  # type: ignore[attr-defined]  # FastAPI has it
    state.jobs, state.cluster = Jobs(), Cluster()
    found = read(bare)
    assert found["microtome_jobs", "queued"] == 3
    assert found["microtome_worker_memory_bytes", "worker-0"] == 5e8


@pytest.mark.parametrize(
    ("scopes", "status"), [(("read", "submit", "phi"), 403), (("admin",), 200)]
)
def test_from_elsewhere_it_needs_the_scope_admin(
    bare: TestClient, scopes: tuple[str, ...], status: int
) -> None:
    headers = bearer_of(bare)(*scopes)
    assert bare.get("/metrics").status_code == 200  # a scraper on this machine
    assert bare.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 401
    assert bare.get("/metrics", headers={"Host": "evil.example.org"}).status_code == 401
    with TestClient(bare.app, "http://service", client=("192.0.2.1", 1)) as far:
        assert far.get("/metrics").status_code == 401
        assert far.get("/metrics", headers=headers).status_code == status


def test_each_application_counts_for_itself(bare: TestClient) -> None:
    bare.get("/version")
    with opened(bare.app) as again:  # type: ignore[arg-type]  # it is one
        assert ("microtome_requests_total", "GET", "/version", "200") not in read(again)
