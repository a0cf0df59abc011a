"""`microtome experiment data-efficiency` from the file to the page, on a tiny archive."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.encoders import open_encoder
from models.errors import LabelsError
from models.probe import LinearSettings, fit_linear, knn_scores
from tests.models.probe.planted import Planted, plant
from tests.workflows.experiments.conftest import COUNTS, PER_PATIENT, Write, write_toml
from tiling.reader import PatchReader
from tiling.store import Archive
from workflows import cli
from workflows.config import make_config
from workflows.errors import UsageError
from workflows.experiments.bagged import BagJudge
from workflows.experiments.data_config import DataEfficiencyConfig
from workflows.experiments.data_rows import rows_of

Run = Callable[..., Any]

SMALL = {
    "fractions": [0.5],
    "layers": ["stage1", "stage4"],
    "strategies": ["srcl"],
    "plain_epochs": 0,
    "pretext_batch": 16,
    "linear_epochs": 5,
}


def _config(archive: Path | str = "a.zarr", **changes: object) -> DataEfficiencyConfig:
    return make_config(DataEfficiencyConfig, {"archive": str(archive), "out": "run"} | changes)


def test_the_table_has_the_papers_thirteen_rows() -> None:
    rows = rows_of(_config())
    assert [row.number for row in rows] == list(range(1, 14))
    assert [row.kind for row in rows] == [
        "baseline",
        "published",
        *["data"] * 3,
        *["layer"] * 5,
        *["strategy"] * 3,
    ]
    assert [row.fraction for row in rows[2:5]] == [0.5, 0.25, 0.1]
    assert [row.layer for row in rows[5:10]] == ["stage1", "stage2", "stage3", "last2", "stage4"]
    assert [row.method for row in rows[10:]] == ["nsam", "ds", "srcl"]
    assert len({row.slug for row in rows}) == 13


def test_other_weights_of_ctranspath_are_other_cells() -> None:
    slugs = {rows_of(_config(ctranspath=name))[1].slug for name in ("a/x.pth", "b/y.pth")}
    assert slugs == {"ctranspath-x", "ctranspath-y"}


def test_all_of_the_data_is_no_further_share() -> None:
    with pytest.raises(UsageError, match="the first row has all data already"):
        _config(fractions=(0.5, 1.0))
    with pytest.raises(UsageError, match="at least one of knn, linear, mil"):
        _config(downstream=())


@pytest.fixture(scope="module")
def ran(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one seed; not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    values = SMALL | {"seeds": [1], "downstream": ["linear", "knn", "mil"], "mil_model": "mean"}
    file = write_toml(folder / "e.toml", cohort, folder / "run", **values, mil_epochs=2)
    assert cli.run(["experiment", "data-efficiency", str(file), "--quiet"]) == 0
    return folder / "run"


def _rows(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((out / "run.json").read_text())["rows"]
    return found


def test_a_row_is_pretrained_on_its_share_by_its_method(ran: Path) -> None:
    rows = {row["name"]: row for row in _rows(ran)}
    train = COUNTS["train"] * PER_PATIENT
    assert rows["mocov3 (baseline)"]["patches"] == [train]
    assert rows["mocov3, 50 % of the data"]["patches"] == [train // 2]
    assert rows["srcl"]["patches"] == [train]
    cell = json.loads((ran / "cells" / "srcl-1.0-seed1.json").read_text())
    assert cell["pretext"]["method"] == "srcl"
    assert cell["encoder"]["data"][-1].startswith("srcl: 48 patches")


def test_layers_are_read_from_the_first_rows_network(ran: Path) -> None:
    names = {path.name for path in (ran / "pretext").iterdir()}
    assert names == {"mocov3-1.0-seed1", "mocov3-0.5-seed1", "srcl-1.0-seed1"}
    rows = {row["name"]: row for row in _rows(ran)}
    assert rows["mocov3, stage1"]["dim"] == 32
    assert rows["mocov3, stage1"]["pretraining"]["share"] == 1.0
    first, last = rows["mocov3 (baseline)"], rows["mocov3, stage4"]
    assert first["scores"] == last["scores"]
    for found in last["differences"]["linear"].values():
        assert (found["difference"]["value"], found["difference"]["high"]) == (0.0, 0.0)


def test_ctranspath_without_weights_says_so(ran: Path) -> None:
    row = _rows(ran)[1]
    assert (row["remark"], row["seeds"], row["scores"]) == ("no weights given", [], {})
    assert "no weights given" in (ran / "table.md").read_text()


def test_pretraining_time_is_told_against_the_first_row(ran: Path) -> None:
    rows = {row["name"]: row["pretraining"] for row in _rows(ran)}
    base = rows["mocov3 (baseline)"]
    assert base["share"] == 1.0
    half = rows["mocov3, 50 % of the data"]
    assert half["share"] == pytest.approx(half["seconds"] / base["seconds"])


def test_probes_say_what_they_say_of_embeddings_made_by_hand(ran: Path, cohort: Path) -> None:
    checkpoint = ran / "pretext" / "mocov3-1.0-seed1" / "encoder.safetensors"
    encoder = open_encoder(str(checkpoint), layer="stage1")
    sides: dict[str, list[Any]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for store in Archive.open(str(cohort)).stores():
        split = store.attributes["labels"]["split"]
        if split in sides:
            pixels = torch.from_numpy(PatchReader(store).read(range(len(store))))
            with torch.no_grad():
                sides[split] += list(encoder(encoder.prepare(pixels)).numpy())
            labels[split] += [store.attributes["labels"]["label"] == "tumour"] * len(store)
    train, test = np.stack(sides["train"]), np.stack(sides["test"])
    settings = LinearSettings(epochs=5)
    linear = fit_linear(train, labels["train"], test, 2, seed=1, settings=settings)
    with np.load(ran / "cells" / "mocov3-1.0-stage1-seed1.npz") as kept:
        assert kept["linear_probabilities"] == pytest.approx(linear.scores, abs=1e-5)
        assert kept["knn_probabilities"] == pytest.approx(
            knn_scores(train, labels["train"], test, 2), abs=1e-4
        )
        assert kept["mil_probabilities"].shape == (COUNTS["test"], 2)


def test_the_table_has_every_row_judge_and_metric(ran: Path) -> None:
    with (ran / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * 3 * 3
    assert {row["judge"] for row in rows} == {"linear", "knn", "mil"}
    assert all(float(row["low"]) <= float(row["mean"]) <= float(row["high"]) for row in rows)


def test_the_page_and_the_plot_show_every_row(ran: Path) -> None:
    page, plot = (ran / "report.html").read_text(), (ran / "plot.svg").read_text()
    for row in _rows(ran):
        assert row["name"] in page
        assert plot.count(f"{row['number']} {row['name']}<") == 3
    assert "<script" not in page


def test_a_finished_run_gives_the_same_table_again_and_takes_further_rows(
    ran: Path, cohort: Path, toml: Write, microtome: Run
) -> None:
    values = SMALL | {"seeds": [1], "downstream": ["linear", "knn", "mil"], "mil_model": "mean"}
    before = (ran / "table.csv").read_text()
    cells = {path: path.stat().st_mtime_ns for path in (ran / "cells").iterdir()}
    file = toml(cohort, ran, **(values | {"layers": ["stage1", "stage2", "stage4"]}), mil_epochs=2)
    done = microtome("experiment", "data-efficiency", file)
    assert done.code == 0, done.err
    assert {path: path.stat().st_mtime_ns for path in cells} == cells
    assert (ran / "cells" / "mocov3-1.0-stage2-seed1.json").exists()
    assert "mocov3, stage2" in done.out
    again = toml(cohort, ran, **values, mil_epochs=2)
    assert microtome("experiment", "data-efficiency", again, "--quiet").code == 0
    assert (ran / "table.csv").read_text() == before


def test_bags_of_test_patients_are_never_trained_on(cohort: Path) -> None:
    judge = BagJudge(_config(cohort, downstream=("mil",)), torch.device("cpu"))
    for seed in range(3):
        parts = judge.parts(seed)
        by_part = {
            part: sorted(p for p in parts if parts[p] == part) for part in set(parts.values())
        }
        assert by_part["test"] == [f"p0test{i}" for i in range(COUNTS["test"])]
        assert all(name.startswith("p0train") for name in by_part["train"])
        assert len(by_part["train"]) == 6  # floor(.75 * 4 + .5) of each class
        assert len(by_part["validation"]) == 2
    truth = judge.truths["mil"]
    assert truth.labels.tolist() == [0, 1, 0, 1]
    assert judge.about()["split"]["train"]["patients"] == COUNTS["train"]


def test_a_layer_that_the_network_lacks_is_refused_before_any_work(
    cohort: Path, tmp_path: Path, toml: Write, microtome: Run
) -> None:
    file = toml(cohort, tmp_path / "run", **SMALL, **{"encoder": "test_vit"})
    done = microtome("experiment", "data-efficiency", file)
    assert done.code == 2
    assert "has no layer 'stage1'" in done.err
    assert not (tmp_path / "run").exists()


def test_a_patient_on_both_sides_is_refused_by_mil(tmp_path: Path) -> None:
    def slide(name: str, patient: str, split: str, label: str) -> Planted:
        return Planted(name, None, patient, split, label=label)

    slides = [slide("a", "p", "train", "x"), slide("b", "q", "train", "y")]
    archive = plant(tmp_path / "a.zarr", [*slides, slide("c", "p", "test", "x")])
    with pytest.raises(LabelsError, match="patient p has slides in train and in test"):
        BagJudge(_config(archive.location, downstream=("mil",)), torch.device("cpu"))
