"""`microtome token`: make, list, revoke."""

from pathlib import Path

import pytest

from tests.workflows.conftest import Microtome


def test_a_token_is_shown_once(microtome: Microtome, tmp_path: Path) -> None:
    made = microtome(
        "token",
        "create",
        "--work",
        tmp_path,
        "--name",
        "me",
        "--scopes",
        "read",
        "submit",
        "--json",
    )
    token = made.document["token"]
    assert token.startswith("mt_1_")
    assert made.document["about"]["scopes"] == ["read", "submit"]
    assert made.document["about"]["expires"] is None
    listed = microtome("token", "list", "--work", tmp_path, "--json")
    assert [one["name"] for one in listed.document["tokens"]] == ["me"]
    assert token.split("_", 2)[2] not in listed.out


def test_people_read_it_too(microtome: Microtome, tmp_path: Path) -> None:
    made = microtome("token", "create", "--work", tmp_path, "--name", "me", "--days", 3)
    assert "token    mt_1_" in made.out
    assert "for      me, may read, until 2" in made.out
    assert "mt_1_" not in microtome("token", "list", "--work", tmp_path).out
    wrong = microtome("token", "list", "--work", tmp_path / "other")
    assert (wrong.code, "there is no such folder" in wrong.err) == (2, True)
    assert not (tmp_path / "other").exists()


def test_a_revoked_token_is_said_to_be_revoked(microtome: Microtome, tmp_path: Path) -> None:
    microtome("token", "create", "--work", tmp_path, "--name", "me")
    assert microtome("token", "revoke", 1, "--work", tmp_path).code == 0
    listed = microtome("token", "list", "--work", tmp_path, "--json")
    assert [one["state"] for one in listed.document["tokens"]] == ["revoked"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("revoke", "7"), "there is no token 7"),
        (("create", "--name", "x", "--scopes", "write"), "write"),
        (("create", "--name", ""), "--name"),
        (("create", "--name", "x", "--days", "0"), "--days"),
        (("create",), "--name is needed"),
        (("list", "--database", "nonsense"), "the database"),
    ],
    ids=["unknown", "scope", "no name", "no days", "nothing", "database"],
)
def test_what_makes_no_sense_is_told_in_one_sentence(
    microtome: Microtome, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    ran = microtome("token", *words, "--work", tmp_path)
    assert ran.code == 2
    assert sentence in ran.err
    assert ran.err.count("\n") == 1


def test_the_environment_says_where_the_service_is(
    microtome: Microtome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROTOME_SERVE_WORK", str(tmp_path / "there"))
    microtome("token", "create", "--name", "me")
    assert (tmp_path / "there" / "service.sqlite").exists()
    microtome("token", "create", "--name", "me", "--work", tmp_path / "here")
    assert (tmp_path / "here" / "service.sqlite").exists()
