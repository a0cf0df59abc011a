"""The MIL commands from end to end, on slides whose answer is known."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from tests.models.mil.cohorts import (
    ENCODER,
    Planted,
    embed,
    planted_cohort,
    write_cohort,
    write_slide,
)
from tiling.store import Archive
from workflows import cli

Microtome = Callable[..., Any]

QUICK = ("--epochs", 8, "--lr", 0.01, "--hidden-dim", 16, "--attention-dim", 8, "--folds", 3)
EMPTY = Planted("empty", np.zeros((0, 8), np.float32), "tumour", "p-empty")
NAMELESS = Planted("nameless", np.ones((4, 8), np.float32), "", "p-nameless")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slides with a planted signal, one without patches, one without a label."""
    slides = planted_cohort(patients=24, slides_each=2, patches=(5, 9), share=0.4)
    place = tmp_path_factory.mktemp("cohort") / "cohort.zarr"
    return write_cohort(place, [*slides, EMPTY, NAMELESS])


def train(archive: Path, out: Path, *options: object) -> int:
    words = ["mil", "train", archive, "--encoder", ENCODER, "--out", out, *QUICK, *options]
    return cli.run([str(word) for word in (*words, "--quiet")])


@pytest.fixture(scope="module")
def trained(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run one"
    assert train(cohort, out) == 0
    return out


@pytest.fixture
def own(cohort: Path, tmp_path: Path) -> Path:
    """A copy of the cohort for a test to change."""
    return Path(shutil.copytree(cohort, tmp_path / "own.zarr"))


def record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_the_planted_answer_is_found(trained: Path) -> None:
    scores = record(trained)["scores"]["overall"]["macro_auroc"]
    assert scores["over_patients"]["value"] > 0.95
    assert scores["over_folds"]["value"] > 0.95
    assert scores["over_patients"]["low"] <= scores["over_patients"]["value"]


def test_shuffled_labels_are_not_solved(tmp_path: Path) -> None:
    slides = planted_cohort(patients=40, patches=(5, 9), shuffled=True)
    archive = write_cohort(tmp_path / "a.zarr", slides)
    assert train(archive, tmp_path / "run") == 0
    area = record(tmp_path / "run")["scores"]["overall"]["macro_auroc"]["over_patients"]
    assert area["low"] <= 0.5 <= area["high"]


def test_a_run_holds_what_it_says(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    files = {"config.json", "folds.csv", "metrics.jsonl", "predictions.csv", "report.html"}
    assert names == files | {"run.json"} | {f"fold-{n}.safetensors" for n in range(3)}
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert {line["fold"] for line in lines} == {0, 1, 2}
    assert all(line["train_loss"] > 0 and line["validation_loss"] > 0 for line in lines)
    folds = rows(trained / "folds.csv")
    assert len(folds) == 24  # patients, of two slides each
    for row in folds:
        assert sorted(row.values()).count("test") == 1


def test_every_bag_is_predicted_by_the_fold_that_tests_its_patient(trained: Path) -> None:
    tested = {
        row["patient"]: next(key for key, part in row.items() if part == "test")
        for row in rows(trained / "folds.csv")
    }
    predicted = [row for row in rows(trained / "predictions.csv") if row["predicted"]]
    assert {row["patient"]: f"fold_{row['fold']}" for row in predicted} == tested
    for row in predicted:
        chances = [float(row["p_benign"]), float(row["p_tumour"])]
        assert sum(chances) == pytest.approx(1, abs=1e-6)
        assert row["predicted"] == ("benign", "tumour")[int(np.argmax(chances))]


def test_bags_without_patches_or_labels_are_reported(
    trained: Path, microtome: Microtome, cohort: Path, tmp_path: Path
) -> None:
    bags = record(trained)["bags"]
    assert (bags["empty"], bags["unlabelled"]) == (["p-empty"], ["p-nameless"])
    assert (bags["used"], bags["slides"]) == (24, 48)
    (empty,) = (r for r in rows(trained / "predictions.csv") if r["bag"] == "p-empty")
    assert (empty["patches"], empty["predicted"], empty["p_tumour"]) == ("0", "", "")
    words = ["mil", "train", cohort, "--encoder", ENCODER, "--out", tmp_path / "r", *QUICK]
    told = microtome(*words, "--model", "mean").out
    assert "left out 1 bag without patches: p-empty" in told
    assert "left out 1 bag without a label: p-nameless" in told


def test_the_same_seed_gives_the_same_bytes(cohort: Path, trained: Path, tmp_path: Path) -> None:
    assert train(cohort, tmp_path / "again") == 0
    for path in trained.iterdir():
        if path.suffix in (".safetensors", ".csv", ".jsonl"):
            assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_a_finished_run_is_not_overwritten_unasked(
    trained: Path, cohort: Path, microtome: Microtome, tmp_path: Path
) -> None:
    ran = microtome("mil", "train", cohort, "--encoder", ENCODER, "--out", trained)
    assert ran.code == 2
    assert "holds a finished run; choose another folder, or use --overwrite" in ran.err
    (tmp_path / "x").write_text("mine")
    ran = microtome("mil", "train", cohort, "--encoder", ENCODER, "--out", tmp_path)
    assert (ran.code, "holds other files" in ran.err) == (2, True)
    copy = Path(shutil.copytree(trained, tmp_path / "copy"))
    (copy / "run.json").unlink()  # broken off
    assert train(cohort, copy, "--model", "mean") == 0


def test_folds_of_another_run_are_used_again(
    trained: Path, cohort: Path, tmp_path: Path, microtome: Microtome
) -> None:
    options = ("--folds-file", trained / "folds.csv", "--seed", 5, "--model", "mean")
    assert train(cohort, tmp_path / "mean", *options) == 0
    assert (tmp_path / "mean" / "folds.csv").read_bytes() == (trained / "folds.csv").read_bytes()
    ran = microtome("mil", "evaluate", trained, "--against", tmp_path / "mean", "--json")
    assert ran.code == 0
    compared = ran.document["comparison"]["auroc"][1]
    assert compared["difference"]["value"] == pytest.approx(
        compared["first"]["value"] - compared["second"]["value"]
    )
    assert compared["delong"]["p"] is not None  # patients are the bags
    assert ran.document["scores"] == record(trained)["scores"]
    told = microtome("mil", "evaluate", trained, "--against", tmp_path / "mean").out
    assert "this run minus the other" in told


def test_another_cohort_gets_every_folds_model(
    trained: Path, tmp_path: Path, microtome: Microtome
) -> None:
    slides = planted_cohort(patients=12, patches=(5, 9), share=0.4, seed=9)
    renamed = [
        Planted(f"x{s.slide_id}", s.rows, s.label, f"x{s.patient}") for s in [*slides, EMPTY]
    ]
    archive = write_cohort(tmp_path / "other.zarr", renamed)
    ran = microtome("mil", "evaluate", trained, archive, "--out", tmp_path / "ev", "--json")
    assert ran.code == 0
    scores = ran.document["scores"]
    assert scores["overall"]["macro_auroc"]["over_patients"]["value"] > 0.95
    assert scores["overall"]["macro_auroc"]["over_folds"]["low"] is not None
    assert ran.document["notes"] == []
    assert ran.document["bags"]["empty"] == ["xp-empty"]
    assert {path.name for path in (tmp_path / "ev").iterdir()} == {
        "evaluation.json",
        "predictions.csv",
        "report.html",
    }
    predicted = [row for row in rows(tmp_path / "ev" / "predictions.csv") if row["predicted"]]
    assert len(predicted) == 12


def test_a_cohort_that_was_trained_on_is_called_leaky(
    trained: Path, cohort: Path, microtome: Microtome
) -> None:
    ran = microtome("mil", "evaluate", trained, cohort, "--json")
    assert ran.document["notes"][0].startswith("leaky: the models have learned from 24 bags")


def test_predictions_are_the_mean_of_the_folds_models(
    trained: Path, cohort: Path, microtome: Microtome
) -> None:
    from models.mil.checkpoint import load_checkpoint

    ran = microtome("mil", "predict", trained, cohort, "--json")
    assert ran.code == 0
    row = next(r for r in ran.document["predictions"] if r["bag"] == "p003")
    place = zarr.open_group(cohort, mode="r")
    slides = [place[f"s003-{n}/embeddings/{ENCODER}"][:] for n in range(2)]
    bag = torch.from_numpy(np.concatenate(slides))[None]
    models = [load_checkpoint(trained / f"fold-{n}.safetensors")[0] for n in range(3)]
    with torch.no_grad():
        chances = [torch.softmax(model(bag).logits[0], 0).numpy() for model in models]
    np.testing.assert_allclose(row["probabilities"], np.mean(chances, axis=0), rtol=1e-5)
    empty = next(r for r in ran.document["predictions"] if r["bag"] == "p-empty")
    assert (empty["patches"], empty["probabilities"]) == (0, None)


def test_attention_is_written_back_as_a_map(trained: Path, own: Path, microtome: Microtome) -> None:
    ran = microtome("mil", "predict", trained, own, "--maps", "--json")
    assert (ran.code, ran.document["map"], ran.document["maps"]) == (0, "attention-run-one", 49)
    place = zarr.open_group(own, mode="r")
    values = [place[f"s001-{n}/maps/attention-run-one/patches"][:] for n in range(2)]
    assert sum(value.sum() for value in values) == pytest.approx(1, abs=1e-5)  # over the patient
    group = place["s001-0/maps/attention-run-one"]
    known = group.attrs["microtome"]
    assert known["kind"] == "attention"
    assert known["model"]["encoder"] == ENCODER
    pixels, count = group["pixels"][:], values[0].shape[1]
    assert (pixels > 0).sum() == count
    assert pixels[0].flat[:count].argmax() == values[0][0].argmax()
    assert "s001-0" in Archive.open(str(own))  # the slide is what it was


def test_maps_of_another_run_are_not_replaced_unasked(
    trained: Path, own: Path, cohort: Path, tmp_path: Path, microtome: Microtome
) -> None:
    words = ("mil", "predict", trained, own, "--maps")
    assert microtome(*words).code == 0
    assert microtome(*words).code == 0  # its own it makes again
    other = tmp_path / "elsewhere" / "run one"
    assert train(cohort, other, "--model", "mean") == 0
    ran = microtome("mil", "predict", other, own, "--maps")
    assert ran.code == 2
    assert "has a map 'attention-run-one' of another run" in ran.err
    assert microtome("mil", "predict", other, own, "--maps", "--overwrite").code == 0


def test_labels_of_a_table_are_used(cohort: Path, tmp_path: Path, microtome: Microtome) -> None:
    table = tmp_path / "labels.csv"
    lines = [f"p{n:03d};{('low', 'high')[n % 2]}" for n in range(24)]
    table.write_text("\n".join(["patient;grade", *lines]) + "\n")
    options = ("--labels", table, "--label", "grade", "--model", "mean")
    assert train(cohort, tmp_path / "run", *options) == 0
    known = record(tmp_path / "run")
    assert known["classes"] == ["high", "low"]
    assert known["bags"]["of_class"] == {"high": 12, "low": 12}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name,label\na,b\n", "needs a column slide_id or patient; it has name, label"),
        ("slide_id,lable\na,b\n", "has no column 'label'; did you mean lable"),
        ("slide_id,label\n", "no line below the header"),
        ("slide_id,label\na,x\na,y\n", "line 3: a has 'y' here and 'x' before"),
        ("slide_id,label\nz,x\n", "need slides of at least two labels, found none"),
    ],
)
def test_a_table_that_is_wrong_is_told(
    text: str, match: str, cohort: Path, tmp_path: Path, microtome: Microtome
) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(text)
    words = ["mil", "train", cohort, "--encoder", ENCODER, "--out", tmp_path / "run"]
    ran = microtome(*words, "--labels", table)
    assert (ran.code, match in ran.err) == (2, True), ran.err
    assert not (tmp_path / "run").exists()


def test_slides_are_the_unit_where_a_patient_has_two_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for n in range(12):
        for label in ("a", "b"):
            planted = rng.standard_normal((5, 8)).astype(np.float32)
            planted[:, 0] += 4 * (label == "b")
            slide = Planted(f"s{n:02d}{label}", planted, label, f"p{n:02d}")
            write_slide(tmp_path / "a.zarr", slide)
    assert train(tmp_path / "a.zarr", tmp_path / "run", "--model", "mean") == 0
    known = record(tmp_path / "run")
    assert (known["unit"], known["bags"]["used"], known["bags"]["patients"]) == ("slide", 24, 12)
    folds = {row["patient"]: row for row in rows(tmp_path / "run" / "folds.csv")}
    assert len(folds) == 12  # both slides of a patient are in one part
    for row in rows(tmp_path / "run" / "predictions.csv"):
        assert folds[row["patient"]][f"fold_{row['fold']}"] == "test"


def test_too_few_patients_are_told_before_any_work(
    cohort: Path, tmp_path: Path, microtome: Microtome
) -> None:
    words = ["mil", "train", cohort, "--encoder", ENCODER, "--out", tmp_path / "run"]
    ran = microtome(*words, "--folds", 20)
    assert ran.code == 2
    assert "20 folds need at least 20 patients of every class, but class 0 has 12" in ran.err
    assert not (tmp_path / "run").exists()


def test_nan_in_embeddings_is_told(own: Path, tmp_path: Path, microtome: Microtome) -> None:
    store = Archive.open(str(own))["s000-0"]
    embed(store, np.full((len(store), 8), np.nan, np.float32))
    words = ["mil", "train", own, "--encoder", ENCODER, "--out", tmp_path / "run", *QUICK]
    ran = microtome(*words)
    assert ran.code == 2
    assert "s000-0: embeddings 'toy'" in ran.err
    assert "NaN or infinity" in ran.err
    assert not (tmp_path / "run" / "run.json").exists()


def test_embeddings_of_another_encoder_are_refused(
    trained: Path, tmp_path: Path, microtome: Microtome
) -> None:
    slide = Planted("x", np.ones((3, 8), np.float32), "benign")
    write_slide(tmp_path / "a.zarr", slide, weights_sha256="1" * 64)
    ran = microtome("mil", "predict", trained, tmp_path / "a.zarr")
    assert (ran.code, "of another encoder than those of the run" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("predict", "{run}"), "--archives is needed"),
        (("predict", "{tmp}", "{archive}"), "no finished run of `microtome mil train`"),
        (("evaluate", "{run}", "--labels", "x.csv"), "--label and --labels are of archives"),
        (("evaluate", "{run}", "{tmp}"), "no archive at"),
        (("evaluate",), "--run is needed"),
    ],
)
def test_usage_errors(
    words: tuple[str, ...],
    match: str,
    trained: Path,
    cohort: Path,
    tmp_path: Path,
    microtome: Microtome,
) -> None:
    places = {"run": str(trained), "tmp": str(tmp_path), "archive": str(cohort)}
    ran = microtome("mil", *(word.format(**places) for word in words))
    assert (ran.code, match in ran.err) == (2, True), ran.err


def test_a_damaged_model_is_told(
    trained: Path, cohort: Path, tmp_path: Path, microtome: Microtome
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / "fold-1.safetensors").write_bytes(b"nothing")
    ran = microtome("mil", "predict", run, cohort)
    assert (ran.code, "fold-1.safetensors holds no model of bags" in ran.err) == (2, True)


def test_the_report_is_one_file_that_names_no_patient(trained: Path) -> None:
    page = (trained / "report.html").read_text()
    assert not re.search(r"https?://|@import|url\(|<script", page)
    assert "default-src 'none'" in page
    assert page.count("<svg") >= 3
    assert page.count("data:image/jpeg") == 4
    assert "p001" not in page
    assert len(re.findall(r'alt="s\d{3}-\d: thumbnail', page)) == 4
    for text in ("ROC", "Precision and recall", "Loss over epochs", "without patches"):
        assert text in page


def test_predictions_have_a_page_and_a_table(
    trained: Path, cohort: Path, tmp_path: Path, microtome: Microtome
) -> None:
    page, table = tmp_path / "page.html", tmp_path / "table.csv"
    ran = microtome("mil", "predict", trained, cohort, "--report", page, "--out", table)
    assert ran.code == 0
    assert "no patches" in ran.out
    assert len(rows(table)) == 26
    assert "Attention" in page.read_text()
