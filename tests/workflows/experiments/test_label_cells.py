from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.probe import label_fraction
from models.ssl.job import PretrainJob
from models.ssl.patches import choose
from tests.conftest import ROOT
from tests.workflows.experiments.conftest import COUNTS, PER_PATIENT, import_table, write_cohort
from workflows.config import make_config
from workflows.errors import UsageError
from workflows.experiments.bench import Bench
from workflows.experiments.data_config import DataEfficiencyConfig
from workflows.experiments.data_rows import rows_of
from workflows.experiments.label import LabelTrials
from workflows.experiments.label_cells import LabelCell, cells_of, stages_of
from workflows.experiments.label_config import LabelEfficiencyConfig
from workflows.pretraining.request import job_of

SHARES = (0.25, 0.5, 1.0)


def _config(archive: Path | str = "a.zarr", **changes: object) -> LabelEfficiencyConfig:
    values = {"archive": str(archive), "out": "run", "encoder": "test_resnet", "init": "random"}
    return make_config(LabelEfficiencyConfig, values | changes)


def test_a_cell_is_made_of_every_method_share_and_seed() -> None:
    cells = cells_of(_config(seeds=(0, 1, 2)), patches=100)
    assert len(cells) == 4 * 4 * 3
    assert len({cell.name for cell in cells}) == len(cells)
    assert [cell.method for cell in cells[:4]] == [
        "supervised",
        "rotnet",
        "rotnet-jitter",
        "simclr",
    ]


def test_all_labels_may_be_left_to_the_supervised_baseline_as_in_the_paper() -> None:
    cells = cells_of(_config(seeds=(0,), methods_at_full="supervised"), patches=100)
    assert len(cells) == 4 * 3 + 1
    assert [cell.method for cell in cells if cell.fraction == 1] == ["supervised"]


def test_the_other_organ_is_a_method_where_there_is_its_archive() -> None:
    assert "simclr+organ" not in _config().chosen_methods
    assert _config(organ_archive="kidney.zarr").chosen_methods[-1] == "simclr+organ"
    with pytest.raises(UsageError, match=r"simclr\+organ needs --organ-archive"):
        _config(methods=("simclr+organ",))
    with pytest.raises(UsageError, match="no method 'simclir'; did you mean simclr"):
        _config(methods=("simclir",))


def test_simclr_is_trained_as_in_the_breast_study(tmp_path: Path) -> None:
    config = _config(out=str(tmp_path))
    (stage,) = stages_of(config, LabelCell("simclr", 0.25, 3))
    job = job_of(stage.config(config, config.encoder))
    # METHODS 5 and 7: Adam 3e-4 as it is, decay 1e-4, batch 256, tau .07, a head without BN
    assert job["training"] == {
        "epochs": 100,
        "batch": 256,
        "optimizer": "adam",
        "base_lr": 3e-4,
        "weight_decay": 1e-4,
        "scale_lr": False,
        "constant_lr": True,
        "accumulate": 1,
    }
    assert job["settings"] == {"temperature": 0.07, "simclr_head": "plain"}
    assert (job["weights"], job["seed"], job["split"]) == ("random:3", 3, "train")


def test_options_of_the_experiment_win_over_the_study(tmp_path: Path) -> None:
    config = _config(out=str(tmp_path), pretext_batch=32, pretext_lr=0.01, temperature=0.5)
    (stage,) = stages_of(config, LabelCell("simclr", 0.25, 0))
    job = job_of(stage.config(config, config.encoder))
    assert (job["training"]["batch"], job["training"]["base_lr"]) == (32, 0.01)
    assert job["settings"]["temperature"] == 0.5
    (turns,) = stages_of(config, LabelCell("rotnet", 0.25, 0))
    assert turns.config(config, config.encoder).optimizer is None  # the method's own: Adam


def test_supervised_needs_no_pretraining_and_the_other_organ_comes_first() -> None:
    config = _config(organ_archive="kidney.zarr", organ_epochs=7)
    assert stages_of(config, LabelCell("supervised", 0.25, 0)) == []
    organ, own = stages_of(config, LabelCell("simclr+organ", 0.25, 2))
    assert (organ.archive, organ.split, organ.fraction, organ.epochs) == ("kidney.zarr", None, 1, 7)
    assert (own.archive, own.split, own.fraction, own.epochs) == ("a.zarr", "train", 0.25, 100)
    (alone,) = stages_of(config, LabelCell("supervised+organ", 0.5, 2))
    assert alone == organ  # one run of the other organ serves all cells of a seed


def test_pretraining_on_all_patches_is_shared_by_the_shares_of_a_seed() -> None:
    config = _config(pretext_data="all")
    stages = [stages_of(config, LabelCell("rotnet", share, 1))[0] for share in SHARES]
    assert len({stage.name for stage in stages}) == 1
    assert all(stage == stages[0] for stage in stages)
    assert (stages[0].fraction, stages[0].by_class) == (1.0, False)


@pytest.mark.parametrize("unit", ["slide", "patch"])
@pytest.mark.parametrize("seed", [0, 5])
def test_pretraining_sees_exactly_the_patches_of_the_share(
    cohort: Path, tmp_path: Path, unit: str, seed: int
) -> None:
    config = _config(cohort, out=str(tmp_path), fraction_unit=unit)
    bench = Bench.prepare(config)
    for share in SHARES:
        (stage,) = stages_of(config, LabelCell("rotnet", share, seed))
        chosen = choose(PretrainJob.of(job_of(stage.config(config, config.encoder))))
        seen = {
            (chosen.patches.slides[chosen.patches.slide_of[row]].slide_id, _place(chosen, row))
            for row in chosen.rows
        }
        rows = label_fraction(bench.cases, bench.split.train, share, unit=unit, seed=seed)  # type: ignore[arg-type]
        cases = bench.cases
        taught = {(cases.slide_ids[cases.slide[row]], int(cases.index[row])) for row in rows}
        assert seen == taught
        assert len(seen) == len(rows)


def _place(chosen: object, row: int) -> int:
    """Number of a patch in its slide, by counting."""
    slide_of = chosen.patches.slide_of  # type: ignore[attr-defined]
    return int(row - np.flatnonzero(slide_of == slide_of[row])[0])


def test_shares_are_nested_stratified_and_of_exact_sizes(cohort: Path) -> None:
    bench = Bench.prepare(_config(cohort))
    train = COUNTS["train"] * PER_PATIENT
    for seed in range(4):
        rows = [set(bench.share(share, seed).tolist()) for share in SHARES]
        # 8 slides of 3 patches per class: 2, 4 and 8 of them
        assert [len(one) for one in rows] == [12, 24, train]
        assert rows[0] < rows[1] < rows[2]
        for one in rows:
            assert np.bincount(bench.cases.label[sorted(one)]).tolist() == [len(one) // 2] * 2
    assert set(bench.share(0.25, 0)) != set(bench.share(0.25, 1))


def test_no_patient_crosses_the_split_and_validation_is_not_touched(cohort: Path) -> None:
    bench = Bench.prepare(_config(cohort))
    cases, split = bench.cases, bench.split
    sides = [{cases.patients[i] for i in cases.patient[rows]} for rows in (split.train, split.test)]
    assert [len(side) for side in sides] == [COUNTS["train"], COUNTS["test"]]
    assert not sides[0] & sides[1]
    assert all("train" in name for name in sides[0])
    assert all("test" in name for name in sides[1])
    assert bench.leaks == []


def test_test_patients_in_the_other_organs_archive_are_told(cohort: Path) -> None:
    config = _config(cohort, organ_archive=str(cohort))
    (leak,) = LabelTrials(Bench.prepare(config), config).leaks()
    assert leak.startswith(f"{COUNTS['test']} test patients, such as p0test0, are also in")
    apart = _config(cohort, organ_archive=str(cohort), organ_split="train")
    assert LabelTrials(Bench.prepare(apart), apart).leaks() == []


def test_a_patient_on_both_sides_is_told(tmp_path: Path) -> None:
    table = write_cohort(tmp_path / "images", {"train": 4, "test": 4})
    table.write_text(table.read_text().replace(",p0test3,", ",p0train1,"))
    archive = import_table(table, tmp_path / "a.zarr")
    (leak,) = Bench.prepare(_config(archive)).leaks
    assert leak.startswith("1 patient and 0 slides are on both sides of the split")


@pytest.mark.parametrize(
    ("name", "model", "cells"),
    [
        ("label-efficiency", LabelEfficiencyConfig, 39),
        ("data-efficiency", DataEfficiencyConfig, 36),
    ],
)
def test_the_files_in_docs_are_valid(name: str, model: Any, cells: int) -> None:
    config = make_config(model, {}, ROOT / "docs" / "experiments" / f"{name}.toml")
    assert config.out == f"runs/{name}"
    if model is LabelEfficiencyConfig:
        assert len(cells_of(config, patches=1178)) == cells
    else:
        assert len([row for row in rows_of(config) if row.method]) * len(config.seeds) == cells
