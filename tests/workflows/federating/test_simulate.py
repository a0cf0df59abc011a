"""`microtome federate simulate` as a person runs it."""

import json
from pathlib import Path
from typing import Any

import pytest

from models.encoders import read_card
from tests.models.federated.small import make_archive
from tests.workflows.conftest import Microtome

SMALL = ("--width", 2, "--side-px", 16, "--rounds", 2, "--batch", 8, "--features", 4)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("volumes"), ("a", "b"), 2)


def simulate(microtome: Microtome, archive: Path, out: Path, *words: Any) -> Any:
    return microtome("federate", "simulate", archive, "--out", out, *SMALL, *words)


def test_a_run_leaves_an_encoder_a_record_and_a_page(
    microtome: Microtome, archive: Path, tmp_path: Path
) -> None:
    ran = simulate(microtome, archive, tmp_path / "run")
    assert ran.code == 0, ran.err
    assert "fcl      32 patches of 2 sites, 2 rounds" in ran.out
    card = read_card(tmp_path / "run" / "encoder.safetensors")
    assert card is not None
    assert card.method == "fcl"
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["finished"]
    assert record["data"] == {"patches": 32, "sites": {"a": 16, "b": 16}}
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {"config.json", "run.json", "metrics.jsonl", "curves.png", "report.html"}
    assert not [name for name in names if name.startswith("state-")]
    assert "up bytes" in (tmp_path / "run" / "report.html").read_text().lower()

    again = simulate(microtome, archive, tmp_path / "run")
    assert "finished before" in again.out
    other = simulate(microtome, archive, tmp_path / "run", "--seed", 1)
    assert other.code == 2
    assert "another federated pretraining (with another --seed)" in other.err


def test_noise_says_what_it_is_worth_and_needs_a_bound(
    microtome: Microtome, archive: Path, tmp_path: Path
) -> None:
    refused = simulate(microtome, archive, tmp_path / "run", "--noise", 1)
    assert refused.code == 2
    assert "--noise is a multiple of --clip" in refused.err
    ran = simulate(microtome, archive, tmp_path / "run", "--noise", 4, "--clip", 1)
    assert "not differentially private" in ran.out


@pytest.mark.parametrize(
    ("words", "told"),
    [((3,), "--quorum 3: 2 sites learn together"), ((2, "--alone"), "--quorum 2: 1 site learn")],
)
def test_more_sites_than_there_are_cannot_be_needed(
    microtome: Microtome, archive: Path, tmp_path: Path, words: tuple[Any, ...], told: str
) -> None:
    refused = simulate(microtome, archive, tmp_path / "run", "--quorum", *words)
    assert refused.code == 2
    assert told in refused.err


def test_options_of_another_method_are_said_to_have_no_effect(
    microtome: Microtome, archive: Path, tmp_path: Path
) -> None:
    ran = simulate(microtome, archive, tmp_path / "run", "--method", "rotnet", "--drawn", 5)
    assert ran.code == 0, ran.err
    assert "--drawn has no effect on rotnet" in ran.out
