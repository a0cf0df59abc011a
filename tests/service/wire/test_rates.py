"""How often one may ask."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.wire.rates import network
from tests.service.conftest import bearer_of, opened
from workflows.serve import ServeConfig

ME = "/api/v1/me"


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[TestClient]:
    """Five requests a minute."""
    settings = ServeConfig(work=str(tmp_path), jobs=0, requests_per_minute=5)
    with opened(create_app(settings)) as client:
        yield client


def test_who_asks_too_often_is_told_when_to_come_again(limited: TestClient) -> None:
    answers = [limited.get(ME) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert 1 <= int(answers[5].headers["retry-after"]) <= 12
    assert answers[5].headers["content-type"] == "application/problem+json"
    assert answers[5].json()["status"] == 429
    assert answers[5].headers["x-content-type-options"] == "nosniff"


def test_health_is_always_told(limited: TestClient) -> None:
    assert {limited.get("/healthz").status_code for _ in range(20)} == {200}


def test_a_token_that_was_checked_counts_for_itself(limited: TestClient) -> None:
    one, two = bearer_of(limited)("read"), bearer_of(limited)("read")
    assert limited.get(ME, headers=one).status_code == 200  # the first one counts to the address
    assert [limited.get(ME, headers=one).status_code for _ in range(6)] == [200] * 5 + [429]
    assert limited.get(ME, headers=two).status_code == 200


def test_inventing_tokens_neither_gives_more_nor_takes_from_others(limited: TestClient) -> None:
    good = bearer_of(limited)("read")
    assert limited.get(ME, headers=good).status_code == 200
    wrong = [f"Bearer mt_1_{number:043d}" for number in range(6)]
    told = [limited.get(ME, headers={"Authorization": one}).status_code for one in wrong]
    assert told == [401] * 4 + [429] * 2
    assert limited.get(ME, headers=good).status_code == 200


def test_an_ipv6_network_counts_as_one() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff:2") == "2001:db8::/64"
    assert network("2001:db8:0:1::1") != network("2001:db8::1")
    assert network("192.0.2.1") == "192.0.2.1"
    assert network("unix") == "unix"
