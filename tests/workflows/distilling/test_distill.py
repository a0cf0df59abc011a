"""`microtome distill` from the command line, on a real archive of tiny patches."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from models.distilling.predicting import Predictions
from models.encoders import read_card
from tests.workflows.conftest import Microtome
from tests.workflows.distilling.conftest import COUNTS, PER_PATIENT, Distill, words
from tests.workflows.pretraining.conftest import lines_of
from workflows import cli
from workflows.outcome import USAGE

STAGES = ("initial", "round-1", "round-2")


@pytest.fixture(scope="module")
def ran(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two rounds; not to be changed."""
    out = tmp_path_factory.mktemp("distill") / "run"
    assert cli.run(words(cohort, out, "--quiet")) == 0
    return out


def _record(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text())
    return found


def test_every_stage_leaves_a_model_an_encoder_and_scores(ran: Path) -> None:
    document = _record(ran)
    assert [line["name"] for line in document["stages"]] == list(STAGES)
    for line in document["stages"]:
        folder = Path(line["folder"])
        card = read_card(folder / "encoder.safetensors")
        assert card is not None
        assert card.method == "distl"
        assert (folder / "model.safetensors").is_file()
        assert (folder / "report.html").is_file()
        assert not list(folder.glob("state-*"))
        for name in ("accuracy", "macro_f1", "macro_auroc"):
            found = line["scores"][name]
            assert found["low"] <= found["value"] <= found["high"]
    names = {"table.md", "table.csv", "report.html", "run.json"}
    assert names <= {path.name for path in ran.iterdir()}
    assert "round-2" in (ran / "table.md").read_text()
    with (ran / "table.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3 * 4


def test_rounds_learn_from_growing_folds_and_the_labelled_part_stays(ran: Path) -> None:
    document = _record(ran)
    parts, train = document["parts"], COUNTS["train"] * PER_PATIENT
    labelled, folds = parts["labelled"]["patches"], [f["patches"] for f in parts["folds"]]
    assert labelled + sum(folds) == train
    assert parts["labelled"]["patients"] == 4
    assert [line["patches"] for line in document["stages"]] == [labelled, folds[0], sum(folds)]
    assert parts["test"]["patches"] == COUNTS["test"] * PER_PATIENT


def test_corrections_come_before_step_0_and_every_k_steps(ran: Path) -> None:
    assert lines_of(ran / "initial", "correction") == []
    for stage in STAGES[1:]:
        steps = lines_of(ran / stage, "start")[0]["steps"]
        told = lines_of(ran / stage, "correction")
        assert [line["step"] for line in told] == [step + 1 for step in range(0, steps, 4)]
        assert {line["steps"] for line in told} == {6}  # 24 labelled patches in batches of 4


def test_a_stage_begins_where_the_one_before_ended(ran: Path) -> None:
    card = read_card(ran / "round-2" / "encoder.safetensors")
    assert card is not None
    assert [seen.partition(",")[0] for seen in card.data] == [
        "random:0",
        "distl: initial model",
        "distl: round 1",
        "distl: round 2",
    ]
    assert card.name == "test_resnet-distl"


def test_the_teacher_lies_beside_the_student_and_lags_behind(ran: Path) -> None:
    tensors = load_file(ran / "round-1" / "model.safetensors")
    ours = {n: t for n, t in tensors.items() if n.startswith("student.") and t.dtype == np.float32}
    assert ours
    apart = [
        not np.array_equal(tensor, tensors[name.replace("student.", "teacher.")])
        for name, tensor in ours.items()
    ]
    assert any(apart)


def test_a_colour_is_learned(cohort: Path, distill: Distill, tmp_path: Path) -> None:
    ran = distill(tmp_path / "run", "--rounds", 1, "--initial-epochs", 12, "--drop-path", 0)
    assert ran.code == 0, ran.err
    scores = ran.document["stages"][-1]["scores"]
    assert scores["macro_auroc"]["value"] > 0.9


def test_a_finished_run_is_not_done_again_and_a_further_round_goes_on(
    distill: Distill, tmp_path: Path
) -> None:
    first = distill(tmp_path / "run", "--rounds", 0)
    assert first.code == 0, first.err
    model = tmp_path / "run" / "initial" / "model.safetensors"
    before = model.stat().st_mtime_ns
    second = distill(tmp_path / "run", "--rounds", 1)
    assert second.code == 0, second.err
    assert [line["skipped"] for line in second.document["stages"]] == [True, False]
    assert model.stat().st_mtime_ns == before


def test_another_run_may_begin_with_its_initial_model(
    ran: Path, distill: Distill, tmp_path: Path
) -> None:
    model = ran / "initial" / "model.safetensors"
    told = distill(tmp_path / "run", "--rounds", 1, "--initial", model, "--no-correction")
    assert told.code == 0, told.err
    assert [line["name"] for line in told.document["stages"]] == ["round-1"]
    assert any("--encoder has no effect with --initial" in note for note in told.document["notes"])
    assert lines_of(tmp_path / "run" / "round-1", "correction") == []
    assert not any("leaky" in note for note in told.document["notes"])


def test_a_model_that_others_were_kept_apart_from_is_told_of(
    ran: Path, distill: Distill, tmp_path: Path
) -> None:
    words = ("--rounds", 1, "--initial", ran / "initial" / "model.safetensors")
    told = distill(tmp_path / "run", *words, "--split", "test", "--test-split", "train")
    assert told.code == 0, told.err
    assert any("round-1: perhaps leaky: the model" in note for note in told.document["notes"])


def test_the_same_run_gives_the_same_weights(ran: Path, distill: Distill, tmp_path: Path) -> None:
    assert distill(tmp_path / "run", "--rounds", 1).code == 0
    for stage in STAGES[:2]:
        ours, theirs = (
            load_file(out / stage / "model.safetensors") for out in (tmp_path / "run", ran)
        )
        assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_ablations_switch_their_term_off(ran: Path, distill: Distill, tmp_path: Path) -> None:
    model = ran / "initial" / "model.safetensors"
    absent = {"self-supervision": "self_supervision", "self-training": "self_training"}
    for name, metric in absent.items():
        out = tmp_path / name
        assert distill(out, "--rounds", 1, "--initial", model, f"--no-{name}").code == 0
        told = set().union(*(line["metrics"] for line in lines_of(out / "round-1", "step")))
        assert told == set(absent.values()) - {metric}


def test_teaching_all_folds_is_full_supervision(distill: Distill, tmp_path: Path) -> None:
    ran = distill(tmp_path / "run", "--rounds", 0, "--teach-folds", 2, "--epochs", 1)
    assert ran.code == 0, ran.err
    assert ran.document["stages"][0]["patches"] == COUNTS["train"] * PER_PATIENT


def test_predictions_are_of_the_labelled_test_patches(ran: Path) -> None:
    found = Predictions.load(ran / "round-2")
    assert found.probabilities.shape == (COUNTS["test"] * PER_PATIENT, 2)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert len(np.unique(found.patient)) == COUNTS["test"]


@pytest.mark.parametrize(
    ("further", "sentence"),
    [
        (("--rounds", 3), "each round has one fold more, and there are 2 --folds"),
        (("--teach-folds", 3), "--teach-folds 3: there are 2 --folds"),
        (("--initial", "gone.safetensors"), "there is no such file"),
        (("--split", "nowhere"), "no slide is of the split 'nowhere'; there are: test, train"),
        (("--folds", 40), "do not make 40 folds"),
        (("--target", "multilabel"), "does not fit labels of one class per patch"),
        (("--no-self-supervision", "--no-self-training"), "teach nothing; leave one of them on"),
        (("--no-self-training", "--ssl-epochs", 1), "use as many --ssl-epochs as --epochs"),
        (("--encoder", "resnet999"), "resnet999"),
        (("--scheduler", "tcp://127.0.0.1:1", "--processes", 2), "--processes is for this machine"),
        (("--weight", 2), "--weight"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(
    distill: Distill, tmp_path: Path, further: tuple[object, ...], sentence: str
) -> None:
    ran = distill(tmp_path / "run", *further)
    assert ran.code == USAGE
    assert sentence in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_a_folder_of_another_run_is_refused(ran: Path, distill: Distill) -> None:
    refused = distill(ran, "--seed", 1)
    assert refused.code == USAGE
    assert "holds another stage (with another --seed)" in refused.err


def test_an_encoder_is_no_model_to_begin_with(ran: Path, distill: Distill, tmp_path: Path) -> None:
    refused = distill(tmp_path / "run", "--initial", ran / "initial" / "encoder.safetensors")
    assert refused.code == USAGE
    assert "is no model of `microtome distill`; is it an encoder?" in refused.err


def test_the_end_is_told_as_a_table(ran: Path, cohort: Path, microtome: Microtome) -> None:
    told = microtome(*words(cohort, ran))
    assert told.code == 0, told.err
    assert "round-2" in told.out
    assert "microtome embed" in told.out


def test_columns_of_classes_with_unknown_cells_are_learned(
    cohort: Path, microtome: Microtome, tmp_path: Path
) -> None:
    table = cohort.parent / "images" / "patches.csv"
    with table.open() as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        is_tumour = row.pop("label") == "tumour"
        row["red"] = "" if number % 5 == 4 else f"{int(is_tumour)}"
        row["even"] = f"{number % 2}"
    several = table.with_name("several.csv")
    with several.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    archive = tmp_path / "several.zarr"
    told = microtome("import", "patches", several, "--out", archive, "--labels", "column:red,even")
    assert told.code == 0, told.err
    ran = microtome(*words(archive, tmp_path / "run", "--rounds", 1, "--epochs", 1, "--json"))
    assert ran.code == 0, ran.err
    assert ran.document["parts"]["target"] == "multilabel"
    found = Predictions.load(tmp_path / "run" / "round-1")
    assert found.labels.shape == found.probabilities.shape == (COUNTS["test"] * PER_PATIENT, 2)
