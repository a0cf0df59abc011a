"""`microtome experiment distillation` from the file to the page, on a tiny archive."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.workflows.conftest import Microtome
from tests.workflows.experiments.conftest import COUNTS, PER_PATIENT, write_toml
from workflows import cli
from workflows.config import make_config
from workflows.errors import UsageError
from workflows.experiments.distill_cells import cells_of, rows_of, run_config
from workflows.experiments.distill_config import DistillationConfig

SMALL: dict[str, object] = {
    "labelled": 0.34,
    "folds": 2,
    "epochs": 1,
    "initial_epochs": 2,
    "batch": 4,
    "lr": 2e-3,
    "prototypes": 16,
    "hidden": 16,
    "correct_steps": 4,
}


def _config(**changes: object) -> DistillationConfig:
    return make_config(DistillationConfig, {"archive": "a.zarr", "out": "run"} | changes)


def test_the_table_has_rounds_full_supervision_and_three_ablations() -> None:
    rows = rows_of(_config())
    assert [row.number for row in rows] == list(range(1, 9))
    assert [row.slug for row in rows] == [
        "initial",
        "round1",
        "round2",
        "round3",
        "supervised3",
        "no-self-supervision",
        "no-self-training",
        "no-correction",
    ]


def test_ablations_begin_with_the_initial_model_of_their_seed_and_lack_one_part() -> None:
    config = _config(seeds=(4,))
    for cell in cells_of(config, 100)[-3:]:
        asked = run_config(config, cell)
        assert asked.initial is not None
        assert asked.initial.endswith("distl-seed4/initial/model.safetensors")
        parts = (asked.self_supervision, asked.self_training, asked.correction)
        assert sum(parts) == 2


def test_full_supervision_teaches_the_labels_of_the_same_patches() -> None:
    config = _config(seeds=(0,), supervised=(1, 3), supervised_epochs=7)
    asked = [run_config(config, c) for c in cells_of(config, 9) if c.row.kind == "supervised"]
    assert [(one.teach_folds, one.asked_rounds, one.initial_epochs) for one in asked] == [
        (1, 0, 7),
        (3, 0, 7),
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"supervised": (4,)}, "there are 3 folds, got 4"),
        ({"labelled": 1.0}, "--labelled"),
        ({"ablations": ("dropout",)}, "--ablations"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        _config(**changes)


@pytest.fixture(scope="module")
def ran(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The file and the folder of a run of one seed; not to be changed."""
    folder = tmp_path_factory.mktemp("distillation")
    values = SMALL | {"seeds": [1], "ablations": ["correction"]}
    file = write_toml(folder / "e.toml", cohort, folder / "run", **values)
    file.write_text(file.read_text().replace("pretext_epochs = 1\n", ""))
    assert cli.run(["experiment", "distillation", str(file), "--quiet"]) == 0
    return file, folder / "run"


def test_one_table_has_all_rows(ran: tuple[Path, Path]) -> None:
    document = json.loads((ran[1] / "run.json").read_text())
    assert [row["seeds"] for row in document["rows"]] == [[1]] * 5
    assert document["failed"] == []
    for row in document["rows"]:
        assert {"accuracy", "macro_f1", "macro_auroc"} <= set(row["scores"])
    by_name = {row["name"]: row for row in document["rows"]}
    train = COUNTS["train"] * PER_PATIENT
    assert by_name["supervised, all labels of T = 2"]["patches"] == [train]
    assert by_name["DISTL, T = 2"]["patches"][0] < train
    assert by_name["DISTL, T = 2"]["against"] == "initial"
    assert by_name["T = 2 without correction"]["against"] == "round2"
    text = (ran[1] / "table.md").read_text()
    assert "DISTL, T = 2" in text
    assert "Differences" in text
    with (ran[1] / "table.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 5 * 4
    assert (ran[1] / "report.html").is_file()


def test_rounds_of_a_seed_share_a_run(ran: tuple[Path, Path]) -> None:
    names = {path.name for path in (ran[1] / "pretext").iterdir()}
    assert names == {"distl-seed1", "supervised2-seed1", "no-correction-seed1"}
    stages = {path.name for path in (ran[1] / "pretext" / "no-correction-seed1").iterdir()}
    assert "initial" not in stages


def test_a_run_goes_on_with_the_cells_that_are_missing(
    ran: tuple[Path, Path], microtome: Microtome
) -> None:
    cells = ran[1] / "cells"
    kept = cells / "initial-seed1.json"
    before = kept.stat().st_mtime_ns
    (cells / "round2-seed1.json").unlink()
    again = microtome("experiment", "distillation", ran[0])
    assert again.code == 0, again.err
    assert "DISTL, T = 2" in again.out
    assert (cells / "round2-seed1.json").is_file()
    assert kept.stat().st_mtime_ns == before
