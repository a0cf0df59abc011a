"""The table of errors: what each one is called, and that nothing of the inside is told."""

import pytest
from fastapi import FastAPI
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.testclient import TestClient

from service.problems import install_problems
from tiling.errors import StoreError

SQL = "SELECT secret FROM tokens"
CAUSE = Exception("/var/lib/secret")


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (OperationalError(SQL, {}, CAUSE), 503, "the database does not answer"),
        (InterfaceError(SQL, {}, CAUSE), 503, "the database does not answer"),
        (PoolTimeoutError("secret pool"), 503, "the database does not answer"),
        (DataError(SQL, {}, CAUSE), 422, "a value of the request is none that the database can"),
        (StoreError("/var/lib/secret is no archive"), 503, "an archive cannot be read now"),
    ],
    ids=["gone", "interface", "pool", "data", "archive"],
)
def test_an_error_below_has_a_status_and_tells_no_secret(
    error: Exception, status: int, sentence: str
) -> None:
    app = FastAPI()
    install_problems(app)

    @app.get("/")
    def fail() -> None:
        raise error

    answer = TestClient(app).get("/")
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(sentence)
    assert "secret" not in answer.text
