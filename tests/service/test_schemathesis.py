"""Schemathesis asks every operation of the OpenAPI document, with a token, on a real process.

No answer may be 5xx, or of a status, a content type or a form that the document does not have. By
default few examples are tried; `MICROTOME_EXAMPLES=200` tries more.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from service.app import create_app
from service.auth.access import SCOPES
from service.auth.keys import Key, new_secret
from service.auth.tables import TokenRow
from service.database import Database, default_url, now
from tests.service.conftest import serving
from workflows.serve import ServeConfig

EXAMPLES = int(os.environ.get("MICROTOME_EXAMPLES", "6"))
SLIDE = "CMU-1-Small-Region"
OURS = 987_654_321
"""Number of the token that is used: none that Schemathesis revokes."""
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    missing_required_header,
    unsupported_method,
    ignored_auth,
]

KNOWN: dict[str, str] = {}
"""Parts of paths that are there, by name; the fixtures make them."""
CUT = {"workflow": "tile", "config": {"slides": [SLIDE], "out": "cut.zarr"}}

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
schema = schemathesis.openapi.from_dict(create_app(ServeConfig(work="unused")).openapi())
schema.config.checks.negative_data_rejection.expected_statuses = ["4XX"]  # also 413, 414, 431


@pytest.fixture(scope="module")
def service(
    planted: Path, tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path
) -> Iterator[tuple[str, dict[str, str]]]:
    """URL of a process with a slide, and the headers that open it."""
    folder = tmp_path_factory.mktemp("asked")
    work = shutil.copytree(planted, folder / "work")
    (folder / "slides").mkdir()
    shutil.copyfile(cmu_slide, folder / "slides" / "cmu.svs")
    words = ["--work", work, "--slides", folder / "slides", "--jobs", 0]
    words += ["--requests-per-minute", 10**7]
    log = Path(os.environ.get("MICROTOME_EXAMPLES_LOG", folder / "log"))
    with serving(*words, log=log) as url:
        yield url, {"Authorization": f"Bearer {_new_token(work)}"}


def _new_token(work: Path) -> Key:
    key = Key(OURS, new_secret())
    database = Database(default_url(work))
    with database.writing() as session:
        row = TokenRow(id=OURS, name="all", digest=key.digest, scopes=" ".join(SCOPES))
        row.created = now()
        session.add(row)
    database.close()
    return key


@schema.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any]) -> dict[str, Any]:
    """Half of the time ask for a job and an upload that are there."""
    ended = context.operation.path.endswith("/events")  # those of others go on for minutes
    known = KNOWN | ({"job_id": KNOWN.get("ended", "x")} if ended else {})
    there = {
        name: known[name]
        for name, value in (path_parameters or {}).items()
        if name in known and len(str(value)) % 2
    }
    return (path_parameters or {}) | there


@pytest.fixture(autouse=True)
def things(service: tuple[str, dict[str, str]]) -> None:
    """Make again what the operation before may have taken away: a slide, a job, an upload."""
    url, headers = service
    with httpx.Client(base_url=f"{url}/api/v1", headers=headers) as client:
        made = client.post("/slides", json={"path": "cmu.svs", "id": SLIDE})
        assert made.status_code in (201, 409)
        KNOWN["job_id"] = client.post("/jobs", json=CUT).json()["id"]
        if "ended" not in KNOWN:
            KNOWN["ended"] = client.post("/jobs", json=CUT).json()["id"]
            client.post(f"/jobs/{KNOWN['ended']}/cancel")
        begun = client.post("/uploads", json={"name": "a.svs", "size_bytes": 1000})
        KNOWN["upload_id"] = begun.json().get("id", "x")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_the_document_says(
    case: schemathesis.Case, service: tuple[str, dict[str, str]]
) -> None:
    url, headers = service
    case.call_and_validate(base_url=url, headers=headers, checks=CHECKS, timeout=30)
