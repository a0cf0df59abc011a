"""Log lines: JSON, with the request that they are about."""

import json
import logging

import pytest
from starlette.testclient import TestClient

from service.observe.logs import JsonLines, request_id


def line(**extra: object) -> dict[str, object]:
    record = logging.LogRecord("a.b", logging.WARNING, "x.py", 1, "%d slides\nlost", (3,), None)
    vars(record).update(extra)
    written = JsonLines().format(record)
    assert "\n" not in written
    found: dict[str, object] = json.loads(written)
    return found


def test_a_line_is_one_json_object() -> None:
    found = line(job_id="7", when=object)
    assert found["message"] == "3 slides\nlost"
    assert (found["level"], found["logger"], found["job_id"]) == ("warning", "a.b", "7")
    assert str(found["time"]).endswith("+00:00")
    assert "request_id" not in found


def test_a_line_says_which_request_it_is_about() -> None:
    token = request_id.set("abc")
    assert line()["request_id"] == "abc"
    request_id.reset(token)


def test_a_traceback_stays_on_the_line() -> None:
    err = ValueError("no\nway")
    record = logging.LogRecord("a", logging.ERROR, "x.py", 1, "bad", (), (type(err), err, None))
    written = JsonLines().format(record)
    assert "\n" not in written
    assert "ValueError: no" in json.loads(written)["traceback"]


def test_every_request_has_a_line_with_its_id(
    bare: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "microtome.requests"):
        answer = bare.get("/api/v1/me?token=mt_1_secret")
        bare.get("/healthz")
    (record,) = [one for one in caplog.records if one.name == "microtome.requests"]
    told = vars(record)
    assert record.getMessage() == "GET /api/v1/me 200"
    assert (told["status"], told["address"]) == (200, "127.0.0.1")
    assert "secret" not in str(told)
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-1.2_Z", True), ("x" * 65, False), ("a b", False), ('"}{', False), ("", False)],
)
def test_an_id_of_the_client_is_kept_where_it_is_sane(
    bare: TestClient, given: str, kept: bool
) -> None:
    told = bare.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"]
    assert (told == given) == kept


def test_what_is_audited_is_logged_with_who_did_it(
    bare: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "microtome.audit"):
        bare.post("/api/v1/tokens", json={"name": "x", "scopes": ["read"]})
    (record,) = [one for one in caplog.records if one.name == "microtome.audit"]
    assert record.getMessage() == "token.create 1"
    assert vars(record)["audit"]["caller"] == "local"
