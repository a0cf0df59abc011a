"""Jobs over HTTP: who sees what, what is refused and how, and what answers hold."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from service.app import create_app
from service.database import Database
from service.jobs.claims import Claim, Claims, End
from service.jobs.queue import Asked, Queue
from service.jobs.timing import Timing
from tests.service.conftest import Bearer, bearer_of, opened
from workflows.serve import ServeConfig

JOBS = "/api/v1/jobs"
VERIFY = {"workflow": "verify", "config": {"archive": "demo.zarr"}}


@pytest.fixture
def runner(app: FastAPI, client: TestClient) -> Claims:
    """What runs jobs here: the test itself."""
    database: Database = app.state.database
    return Claims(database, "test", Timing())


def submit(client: TestClient, body: Any = VERIFY, **headers: Any) -> Any:
    answer = client.post(JOBS, json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()


def claimed(runner: Claims) -> Claim:
    claim = runner.claim()
    assert claim is not None
    return claim


def test_a_submitted_job_waits_and_can_be_looked_at(client: TestClient) -> None:
    answer = client.post(JOBS, json=VERIFY | {"priority": 3})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == f"{JOBS}/{job['id']}"
    assert (job["state"], job["priority"], job["submitted_by"]) == ("queued", 3, "local")
    assert job["config"] == {"archive": "demo.zarr"}
    assert job["created"].endswith("Z")
    assert client.get(answer.headers["Location"]).json() == job


REFUSED: dict[str, tuple[Any, str]] = {
    "no such workflow": ({"workflow": "serve", "config": {}}, "there is no workflow 'serve'"),
    "no such archive": (
        {"workflow": "verify", "config": {"archive": "x.zarr"}},
        "archive: there is no archive 'x.zarr'",
    ),
    "unknown field": (
        {"workflow": "verify", "config": {"archive": "demo.zarr", "nothing": 1}},
        "config.nothing",
    ),
    "the operator's": (
        {"workflow": "verify", "config": {"archive": "demo.zarr", "workers": 99}},
        "config.workers: is decided by the service",
    ),
    "scheduler": (
        {"workflow": "tile", "config": {"slides": ["a"], "out": "a.zarr", "scheduler": "tcp://x"}},
        "config.scheduler: is decided by the service",
    ),
    "wrong type": ({"workflow": "verify", "config": {"archive": 5}}, "config.archive"),
    "priority": (VERIFY | {"priority": 1000}, "priority"),
    "more": (VERIFY | {"scheduler": "x"}, "scheduler"),
    "traversal": (
        {"workflow": "report", "config": {"archive": "demo.zarr", "out": "../../x.html"}},
        "out: '../../x.html' holds a hidden name",
    ),
    "absolute": (
        {"workflow": "report", "config": {"archive": "demo.zarr", "out": "/tmp/x.html"}},
        "out: '/tmp/x.html' must be a path in the service's folder",
    ),
    "both": (
        {"workflow": "tile", "config": {"out": "a.zarr"}},
        "give slides or a manifest, and not both",
    ),
    "nul": ({"workflow": "verify", "config": {"archive": "a\0"}}, "NUL"),
}


@pytest.mark.parametrize(("body", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_makes_no_sense_is_refused(body: Any, sentence: str, client: TestClient) -> None:
    answer = client.post(JOBS, json=body)
    assert answer.status_code == 422, answer.text
    assert sentence in answer.json()["detail"]
    assert client.get(JOBS).json()["items"] == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", '"\\ud800"'])
def test_what_json_cannot_hold_is_refused(number: str, client: TestClient) -> None:
    text = f'{{"workflow": "verify", "config": {{"archive": "demo.zarr", "slide": {number}}}}}'
    answer = client.post(JOBS, content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


def test_an_idempotency_key_makes_one_job(client: TestClient, work: Path) -> None:
    first = submit(client, **{"Idempotency-Key": "one"})
    assert submit(client, **{"Idempotency-Key": "one"})["id"] == first["id"]
    other = VERIFY | {"priority": 1}
    answer = client.post(JOBS, json=other, headers={"Idempotency-Key": "one"})
    assert answer.status_code == 409
    assert "used for another job" in answer.json()["detail"]
    assert client.post(JOBS, json=VERIFY, headers={"Idempotency-Key": "a b"}).status_code == 422
    work.joinpath("demo.zarr").rename(work / "gone")  # what was taken stays so
    assert submit(client, **{"Idempotency-Key": "one"})["id"] == first["id"]
    submits = [e for e in client.get("/api/v1/audit").json()["items"] if "submit" in e["action"]]
    assert len(submits) == 1


def test_lists_go_page_by_page(client: TestClient) -> None:
    ids = [submit(client)["id"] for _ in range(5)]
    seen, query = [], f"{JOBS}?limit=2"
    cursor = ""
    while True:
        page = client.get(query + cursor).json()
        seen += [job["id"] for job in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]
    client.post(f"{JOBS}/{ids[0]}/cancel")
    found = client.get(f"{JOBS}?state=cancelled").json()["items"]
    assert [job["id"] for job in found] == [ids[0]]
    assert client.get(f"{JOBS}?workflow=tile").json()["items"] == []
    for wrong in ("state=nothing", "workflow=nothing", "cursor=nothing", "limit=0"):
        assert client.get(f"{JOBS}?{wrong}").status_code == 422


@pytest.fixture
def guarded(settings: ServeConfig) -> Any:
    app = create_app(settings)
    with opened(app) as client:
        yield client


SAME = ("", "/log", "/outcome", "/events", "/files", "/files/x")


def test_another_tokens_job_is_not_found(guarded: TestClient) -> None:
    bearer: Bearer = bearer_of(guarded)
    mine = bearer("read", "submit", name="mine")
    theirs = bearer("read", "submit", name="theirs")
    admin = bearer("read", "submit", "admin", name="admin")
    job = submit(guarded, **mine)
    place = f"{JOBS}/{job['id']}"
    for further in SAME:
        answer = guarded.get(place + further, headers=theirs)
        assert answer.status_code == 404, further
        assert "there is no job" in answer.json()["detail"]
    assert guarded.post(f"{place}/cancel", headers=theirs).status_code == 404
    assert guarded.get(JOBS, headers=theirs).json()["items"] == []
    assert guarded.get(place, headers=admin).json()["submitted_by"] == "mine"
    assert len(guarded.get(JOBS, headers=admin).json()["items"]) == 1
    assert guarded.post(f"{place}/cancel", headers=admin).json()["state"] == "cancelled"


def test_scopes_are_asked_for(guarded: TestClient) -> None:
    bearer: Bearer = bearer_of(guarded)
    reader, submitter = bearer("read"), bearer("submit")
    assert guarded.post(JOBS, json=VERIFY, headers=reader).status_code == 403
    assert guarded.post(JOBS, json=VERIFY).status_code == 401
    job = submit(guarded, **submitter)
    assert guarded.get(f"{JOBS}/{job['id']}", headers=submitter).status_code == 403
    assert guarded.post(f"{JOBS}/{job['id']}/cancel", headers=reader).status_code == 403
    for path in ("/api/v1/workflows", "/api/v1/workflows/tile", JOBS):
        assert guarded.get(path).status_code == 401
        assert guarded.get(path, headers=submitter).status_code == 403


def test_a_token_has_a_limit(settings: ServeConfig) -> None:
    with opened(create_app(settings.model_copy(update={"jobs_per_token": 2}))) as client:
        submit(client)
        last = submit(client, **{"Idempotency-Key": "last"})
        answer = client.post(JOBS, json=VERIFY)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 0
        assert submit(client, **{"Idempotency-Key": "last"})["id"] == last["id"]


def test_an_id_that_is_none_is_not_found(client: TestClient) -> None:
    for name in ("0", "a%00b", "x" * 500, "F" * 32):
        assert client.get(f"{JOBS}/{name}").status_code in (400, 404)  # 400: NUL, no matter where


def test_an_outcome_comes_with_the_end(client: TestClient, runner: Claims) -> None:
    job = submit(client)
    assert client.get(f"{JOBS}/{job['id']}/outcome").status_code == 409
    end = End("failed", "1 of 2 slides failed", 3, {"patients": 3, "rows": [{"patient": "P-1"}]})
    assert runner.end(claimed(runner), end)
    outcome = client.get(f"{JOBS}/{job['id']}/outcome").json()
    assert outcome == {
        "job": job["id"],
        "state": "failed",
        "exit_code": 3,
        "document": {"patients": 3, "rows": [{"patient": "P-1"}]},
    }
    ended = client.get(f"{JOBS}/{job['id']}").json()
    assert (ended["state"], ended["error"], ended["has_outcome"]) == (
        "failed",
        "1 of 2 slides failed",
        True,
    )


def test_patients_are_shown_only_with_phi(guarded: TestClient) -> None:
    bearer: Bearer = bearer_of(guarded)
    plain = bearer("read", "submit", "admin", name="plain")
    full = bearer("read", "submit", "admin", "phi", name="full")
    job = submit(guarded, **plain)
    runner = Claims(guarded.app.state.database, "test", Timing())  # type: ignore[attr-defined]  # FastAPI has it
    document = {"patients": 3, "rows": [{"patient": "P-1", "site": "A", "score": 1}]}
    runner.end(claimed(runner), End("succeeded", None, 0, document))
    found = guarded.get(f"{JOBS}/{job['id']}/outcome", headers=full).json()["document"]
    assert found == document
    found = guarded.get(f"{JOBS}/{job['id']}/outcome", headers=plain).json()["document"]
    assert found == {"patients": 3, "rows": [{"patient": None, "site": None, "score": 1}]}


def test_a_log_is_read_from_where_one_was(client: TestClient, runner: Claims) -> None:
    job = submit(client)
    claim = claimed(runner)
    runner.tell(claim, None, [("warning", f"line {number}") for number in range(5)])
    log = client.get(f"{JOBS}/{job['id']}/log?limit=3").json()
    assert [(line["number"], line["text"]) for line in log["items"]] == [
        (1, "begun"),
        (2, "line 0"),
        (3, "line 1"),
    ]
    rest = client.get(f"{JOBS}/{job['id']}/log?after={log['after']}").json()
    assert [line["number"] for line in rest["items"]] == [4, 5, 6]
    assert client.get(f"{JOBS}/{job['id']}/log?after=6").json() == {"items": [], "after": 6}
    assert client.get(f"{JOBS}/{job['id']}/log?after=99999999999999999999").status_code == 422


def events_of(text: str) -> list[dict[str, str]]:
    """Read server-sent events as the standard says, independently of how they are written."""
    found = []
    for block in text.split("\n\n"):
        lines = [line.partition(": ") for line in block.splitlines() if not line.startswith(":")]
        event = {name: value for name, _, value in lines if name}
        if "data" in event:
            found.append(event)
    return found


def test_events_tell_all_and_are_taken_up_again(client: TestClient, runner: Claims) -> None:
    job = submit(client)
    claim = claimed(runner)
    runner.tell(claim, _progress(0.5), [("info", "one"), ("info", "two")])
    runner.end(claim, End("succeeded", None, 0, {}))
    place = f"{JOBS}/{job['id']}/events"
    answer = client.get(place)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = events_of(answer.text)
    assert [event["event"] for event in events] == ["log"] * 4 + ["progress", "state"]
    assert [json.loads(e["data"])["text"] for e in events[:4]] == [
        "begun",
        "one",
        "two",
        "succeeded",
    ]
    assert [event["id"] for event in events] == ["1", "2", "3", "4", "4", "4"]
    assert json.loads(events[-1]["data"])["state"] == "succeeded"
    resumed = events_of(client.get(place, headers={"Last-Event-ID": "3"}).text)
    assert [(e["event"], e["id"]) for e in resumed] == [
        ("log", "4"),
        ("progress", "4"),
        ("state", "4"),
    ]
    assert client.get(place, headers={"Last-Event-ID": "4"}).status_code == 204
    assert client.get(place, headers={"Last-Event-ID": "garbage"}).status_code == 200


def _progress(share: float) -> dict[str, Any]:
    return {
        "share": share,
        "noun": "slides",
        "total": 2,
        "done": 1,
        "failed": 0,
        "patches_total": 10,
        "patches_done": 5,
        "patches_per_s": 2.5,
        "mb_per_s": 0.1,
        "elapsed_s": 2.0,
        "left_s": None,
    }


def test_progress_is_shown_with_the_job(client: TestClient, runner: Claims) -> None:
    job = submit(client)
    claim = claimed(runner)
    runner.tell(claim, _progress(0.25), [])
    found = client.get(f"{JOBS}/{job['id']}").json()
    assert (found["state"], found["progress"]) == ("running", _progress(0.25))
    cancelling = client.post(f"{JOBS}/{job['id']}/cancel")
    assert (cancelling.status_code, cancelling.json()["cancelling"]) == (202, True)
    runner.end(claim, End("cancelled"))
    assert client.post(f"{JOBS}/{job['id']}/cancel").json()["state"] == "cancelled"


def test_workflows_are_listed_with_their_schemas(client: TestClient) -> None:
    listed = client.get("/api/v1/workflows").json()
    names = [known["name"] for known in listed]
    assert {"tile", "mil train", "segment pseudo-masks"} <= set(names)
    assert not {"serve", "doctor", "token create"} & set(names)
    tile = client.get("/api/v1/workflows/tile").json()
    assert tile == listed[names.index("tile")]
    assert tile["places"] == {
        "slides": "slides",
        "manifest": "table",
        "tissue_path": "source",
        "out": "new-archive",
    }
    assert "scheduler" not in tile["config_schema"]["properties"]
    assert client.get("/api/v1/workflows/mil%20train").json()["name"] == "mil train"
    assert client.get("/api/v1/workflows/serve").status_code == 404


@pytest.fixture
def reported(client: TestClient, runner: Claims, work: Path) -> Callable[[str], str]:
    """Submit a job that writes a file, and end it; gives its place."""

    def make(name: str) -> str:
        config = {"archive": "demo.zarr", "out": name}
        job = submit(client, {"workflow": "report", "config": config})
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(f"<p>{work}/demo.zarr</p>")
        runner.end(claimed(runner), End("succeeded", None, 0, {}))
        return f"{JOBS}/{job['id']}/files"

    return make


def test_a_page_is_shown_in_a_sandbox_and_in_the_clients_names(
    client: TestClient, reported: Callable[[str], str]
) -> None:
    place = reported("reports/a.html")
    (file,) = client.get(place).json()
    assert (file["path"], file["media_type"]) == ("reports/a.html", "text/html")
    page = client.get(f"{place}/reports/a.html")
    assert page.text == "<p>demo.zarr</p>"
    assert page.headers["Content-Security-Policy"].startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"


def test_nothing_else_can_be_downloaded(
    client: TestClient, reported: Callable[[str], str], work: Path
) -> None:
    place = reported("reports/a.html")
    (work / "reports/b.html").write_text("another's")
    for name in (
        "reports/b.html",
        "service.sqlite",
        "reports/../service.sqlite",
        "reports/..%2f..%2fservice.sqlite",
        "%2fetc%2fpasswd",
        "reports/a.html%00",
    ):
        assert client.get(f"{place}/{name}").status_code in (400, 404), name
    (work / "reports/a.html").unlink()
    (work / "reports/a.html").symlink_to(work / "service.sqlite")
    assert client.get(place).json() == []
    assert client.get(f"{place}/reports/a.html").status_code == 404


def test_what_lies_beside_an_archive_is_of_the_job_that_wrote_it(
    client: TestClient, runner: Claims, work: Path
) -> None:
    job = submit(client, {"workflow": "report", "config": {"archive": "demo.zarr"}})
    claim = claimed(runner)
    (work / "demo.zarr.report.html").write_text("<p>all</p>")
    runner.end(claim, End("succeeded", None, 0, {}))
    place = f"{JOBS}/{job['id']}/files"
    assert "demo.zarr.report.html" in [file["path"] for file in client.get(place).json()]
    assert client.get(f"{place}/demo.zarr.report.html").text == "<p>all</p>"
    assert client.get(f"{place}/demo.zarr/zarr.json").status_code == 404


def test_exports_are_streamed_in_parts(client: TestClient, runner: Claims, work: Path) -> None:
    config = {
        "archive": "demo.zarr",
        "encoder": "colour-layout",
        "format": "clam",
        "out": "exports/a",
    }
    job = submit(client, {"workflow": "export", "config": config})
    data = bytes(range(256)) * 100
    (work / "exports/a/h5_files").mkdir(parents=True)
    (work / "exports/a/h5_files/cmu.h5").write_bytes(data)
    (work / "exports/a/.hidden").write_bytes(data)
    (work / "exports/a/link.h5").symlink_to(work / "service.sqlite")
    (work / "exports/a/in.zarr").mkdir()
    (work / "exports/a/in.zarr/zarr.json").write_text("{}")
    runner.end(claimed(runner), End("succeeded", None, 0, {}))
    place = f"{JOBS}/{job['id']}/files"
    assert [file["path"] for file in client.get(place).json()] == ["exports/a/h5_files/cmu.h5"]
    whole = client.get(f"{place}/exports/a/h5_files/cmu.h5")
    assert whole.content == data
    assert whole.headers["content-disposition"].startswith("attachment")
    part = client.get(f"{place}/exports/a/h5_files/cmu.h5", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, data[10:20])


PROBE: dict[str, Any] = {
    "workflow": "probe",
    "config": {"archive": "demo.zarr", "encoder": ["colour-layout"], "out": "tables"},
}


def begin(client: TestClient) -> None:
    """Begin the job that waits."""
    database: Database = client.app.state.database  # type: ignore[attr-defined]  # FastAPI has it
    claimed(Claims(database, "test", Timing()))


def test_files_left_in_a_folder_by_others_are_not_a_jobs(guarded: TestClient, work: Path) -> None:
    bearer: Bearer = bearer_of(guarded)
    mine = bearer("read", "submit", name="a")
    (work / "tables").mkdir(exist_ok=True)
    secret = work / "tables/patients.csv"
    secret.write_text("P-1\n")
    os.utime(secret, (1e9, 1e9))
    config = {"archive": "demo.zarr", "encoder": ["colour-layout"], "out": "tables"}
    job = submit(guarded, {"workflow": "probe", "config": config}, **mine)
    begin(guarded)
    (work / "tables/report.html").write_text("mine")
    found = guarded.get(f"{JOBS}/{job['id']}/files", headers=mine).json()
    assert [one["path"] for one in found] == ["tables/report.html"]


def test_a_folder_within_that_another_token_writes_is_not_shown(
    guarded: TestClient, work: Path
) -> None:
    bearer: Bearer = bearer_of(guarded)
    alice, bob = bearer("read", "submit", name="alice"), bearer("read", "submit", name="bob")
    outer = submit(guarded, PROBE | {"config": PROBE["config"] | {"out": "exports"}}, **alice)
    inner = submit(guarded, PROBE | {"config": PROBE["config"] | {"out": "exports/bob"}}, **bob)
    begin(guarded)
    begin(guarded)
    (work / "exports/bob").mkdir(parents=True)
    (work / "exports/bob/report.html").write_text("bob's")
    (work / "exports/report.html").write_text("alice's")
    shown = [
        [one["path"] for one in guarded.get(f"{JOBS}/{job['id']}/files", headers=who).json()]
        for job, who in ((outer, alice), (inner, bob))
    ]
    assert shown == [["exports/report.html"], []]  # alice may have written into bob's, too
    stolen = f"{JOBS}/{outer['id']}/files/exports/bob/report.html"
    assert guarded.get(stolen, headers=alice).status_code == 404


def test_a_place_in_what_another_token_writes_shows_nothing(
    guarded: TestClient, work: Path
) -> None:
    bearer: Bearer = bearer_of(guarded)
    alice, bob = bearer("read", "submit", name="alice"), bearer("read", "submit", name="bob")
    submit(guarded, PROBE | {"config": PROBE["config"] | {"out": "exports/bob"}}, **bob)
    within = PROBE | {"config": PROBE["config"] | {"out": "exports/bob/pt_files"}}
    job = submit(guarded, within, **alice)
    begin(guarded)
    begin(guarded)
    (work / "exports/bob/pt_files").mkdir(parents=True)
    (work / "exports/bob/pt_files/a.pt").write_text("bob's")
    assert guarded.get(f"{JOBS}/{job['id']}/files", headers=alice).json() == []


def test_what_lies_beside_an_archive_is_of_the_one_who_wrote_it(
    guarded: TestClient, work: Path
) -> None:
    bearer: Bearer = bearer_of(guarded)
    both = [bearer("read", "submit", name=name) for name in ("alice", "bob")]
    body = {"workflow": "tile", "config": {"slides": ["slides/cmu.svs"], "out": "new.zarr"}}
    jobs = [submit(guarded, body, **who) for who in both]
    begin(guarded)
    (work / "archives/new.zarr.run.json").parent.mkdir(exist_ok=True)
    (work / "archives/new.zarr.run.json").write_text("{}")
    places = [f"{JOBS}/{job['id']}/files" for job in jobs]
    shown = guarded.get(places[0], headers=both[0]).json()
    assert [one["path"] for one in shown] == ["new.zarr.run.json"]
    begin(guarded)
    for place, who in zip(places, both, strict=True):
        assert guarded.get(place, headers=who).json() == []


def test_a_folder_that_two_tokens_write_at_once_is_nobodys(guarded: TestClient, work: Path) -> None:
    bearer: Bearer = bearer_of(guarded)
    both = [bearer("read", "submit", name=name) for name in ("alice", "bob")]
    jobs = [submit(guarded, PROBE, **who) for who in both]
    for _ in jobs:
        begin(guarded)
    (work / "tables").mkdir(exist_ok=True)
    (work / "tables/report.html").write_text("whose?")
    for job, who in zip(jobs, both, strict=True):
        assert guarded.get(f"{JOBS}/{job['id']}/files", headers=who).json() == []


def test_what_a_job_on_labels_says_needs_phi(guarded: TestClient) -> None:
    bearer: Bearer = bearer_of(guarded)
    plain, full = bearer("read", "submit", name="a"), bearer("read", "admin", "phi", name="b")
    config = {"archive": "demo.zarr", "encoder": "colour-layout", "format": "clam", "out": "x"}
    job = submit(guarded, {"workflow": "export", "config": config}, **plain)
    runner = Claims(guarded.app.state.database, "test", Timing())  # type: ignore[attr-defined]  # FastAPI has it
    claim = claimed(runner)
    runner.tell(claim, None, [("warning", "DOE^JOHN has no label")])
    runner.end(claim, End("failed", "found only 'DOE^JOHN'", 2, {"bags": {"empty": ["DOE^JOHN"]}}))
    place = f"{JOBS}/{job['id']}"
    told = guarded.get(place, headers=plain).text + guarded.get(f"{place}/log", headers=plain).text
    told += guarded.get(f"{place}/events", headers=plain).text
    told += guarded.get(JOBS, headers=plain).text
    assert "DOE" not in told
    assert guarded.get(f"{place}/outcome", headers=plain).status_code == 403
    assert [guarded.get(place, headers=who).json()["has_outcome"] for who in (plain, full)] == [
        False,
        True,
    ]
    found = guarded.get(f"{place}/outcome", headers=full).json()["document"]
    assert found == {"bags": {"empty": ["DOE^JOHN"]}}
    assert "failed: this may name patients" in told
    assert guarded.get(place, headers=full).json()["error"] == "found only 'DOE^JOHN'"
    log = guarded.get(f"{place}/log", headers=full).json()["items"]
    assert [line["text"] for line in log] == [
        "begun",
        "DOE^JOHN has no label",
        "failed: found only 'DOE^JOHN'",
    ]


@pytest.mark.parametrize("column", ["patient", "case_id", " Site ", "centre"])
def test_persons_are_no_labels(client: TestClient, work: Path, column: str) -> None:
    (work / "incoming").mkdir()
    bags = {"archives": ["demo.zarr"], "encoder": "x", "out": "runs/m", "label": column}
    patches = {"source": "incoming", "out": "p.zarr", "labels": f"column:stage,{column}"}
    for body in (
        {"workflow": "mil train", "config": bags},
        {"workflow": "import patches", "config": patches},
    ):
        answer = client.post(JOBS, json=body)
        assert answer.status_code == 422
        assert "is no label" in answer.json()["detail"]


def test_files_that_may_name_patients_need_phi(guarded: TestClient, work: Path) -> None:
    bearer: Bearer = bearer_of(guarded)
    plain, full = bearer("read", "submit", name="a"), bearer("read", "admin", "phi", name="b")
    config = {
        "archive": "demo.zarr",
        "encoder": "colour-layout",
        "format": "clam",
        "out": "exports/a",
    }
    job = submit(guarded, {"workflow": "export", "config": config}, **plain)
    (work / "exports/a").mkdir(parents=True)
    (work / "exports/a/labels.csv").write_text("case_id\nP-1\n")
    place = f"{JOBS}/{job['id']}/files/exports/a/labels.csv"
    assert guarded.get(place, headers=full).status_code == 404  # others may have left it there
    begin(guarded)
    assert guarded.get(place, headers=plain).status_code == 403
    assert guarded.get(place, headers=full).text == "case_id\nP-1\n"


def test_500_jobs_are_listed_each_once_and_run_in_order(
    client: TestClient, app: FastAPI, runner: Claims
) -> None:
    queue = Queue(app.state.database, 1000)
    ids = [
        queue.submit(Asked(0, "local", "verify", {"archive": "demo.zarr"}))[0].id
        for _ in range(500)
    ]
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        page = client.get(f"{JOBS}?limit=120{more}").json()
        seen += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ids[::-1]
    assert app.state.jobs.depth()["queued"] == 500
    assert [claimed(runner).id for _ in range(5)] == ids[:5]
