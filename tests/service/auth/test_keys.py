"""The form of tokens, and what is kept of them."""

import hashlib

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from service.auth.keys import Key, new_secret, read_key
from service.auth.store import create_token


def test_a_token_is_read_as_it_is_written() -> None:
    key = Key(17, new_secret())
    assert read_key(str(key)) == key


@pytest.mark.parametrize(
    "token",
    [
        "",
        "mt_1_",
        "mt__" + "a" * 43,
        "mt_1_short",
        "mt_-1_" + "a" * 43,
        "mt_1_" + "a" * 43 + "\n",
        "mt_1_" + "ä" * 43,
        "mt_٣_" + "a" * 43,
        "MT_1_" + "a" * 43,
        "mt_1_" + "a" * 500,
        "mt_99999999999_" + "a" * 43,
    ],
)
def test_what_looks_otherwise_is_no_token(token: str) -> None:
    assert read_key(token) is None


def test_secrets_have_256_bits_and_never_repeat() -> None:
    secrets = {new_secret() for _ in range(1000)}
    assert len(secrets) == 1000
    assert all(len(secret) == 43 for secret in secrets)  # 6 bits a letter


def test_the_database_holds_the_hash_and_nothing_of_the_secret(bare: TestClient) -> None:
    database = bare.app.state.database  # type: ignore[attr-defined]  # FastAPI has it
    _, key = create_token(database, "someone", ("read",))
    with database.session() as session:
        (row,) = session.execute(text("SELECT * FROM tokens")).mappings().all()
    assert row["digest"] == hashlib.sha256(key.secret.encode()).hexdigest()
    assert key.secret not in str(dict(row))
