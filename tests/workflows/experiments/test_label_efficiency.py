"""`microtome experiment label-efficiency` from the file to the page, on a tiny archive."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.encoders import open_encoder
from tests.workflows.experiments.conftest import Write, import_cohort, write_toml
from workflows import cli

Run = Callable[..., Any]

SMALL = {"methods": ["supervised", "simclr"], "fractions": [0.5, 1.0], "finetune_epochs": 2}


@pytest.fixture(scope="module")
def ran(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run: two methods, shares and seeds; not to be changed."""
    folder = tmp_path_factory.mktemp("label")
    file = write_toml(folder / "e.toml", cohort, folder / "run", **SMALL)
    assert cli.run(["experiment", "label-efficiency", str(file), "--quiet"]) == 0
    return folder / "run"


def test_a_run_leaves_cells_tables_a_plot_and_a_page(ran: Path) -> None:
    names = {path.name for path in ran.iterdir()}
    assert names >= {"config.json", "run.json", "table.md", "table.csv", "plot.svg", "report.html"}
    cells = sorted(path.stem for path in (ran / "cells").glob("*.json"))
    assert len(cells) == 2 * 2 * 2
    assert cells[0] == "simclr-0.5-seed0"
    assert {path.name for path in (ran / "pretext").iterdir()} == {
        f"simclr-{share}-seed{seed}" for share in ("0.5", "1.0") for seed in (0, 1)
    }


def test_a_cell_keeps_scores_history_and_what_pretraining_saw(ran: Path) -> None:
    cell = json.loads((ran / "cells" / "simclr-0.5-seed1.json").read_text())
    assert cell["train"] == {"patches": 24, "slides": 8, "patients": cell["train"]["patients"]}
    (pretext,) = cell["pretext"]
    assert pretext["data"]["patches"] == cell["train"]["patches"]
    assert pretext["training"]["batch"] == 24  # no more than there are
    assert pretext["seen"][0] == "random:1"
    assert cell["untaught"] == []
    assert cell["kept_epoch"] == min(cell["epochs"], key=lambda e: e["held_out_loss"])["epoch"]
    for found in cell["scores"].values():
        assert found["low"] <= found["value"] <= found["high"]


def test_the_table_is_the_mean_of_the_cells(ran: Path) -> None:
    with (ran / "table.csv").open() as file:
        rows = {(r["method"], float(r["fraction"]), r["metric"]): r for r in csv.DictReader(file)}
    assert len(rows) == 2 * 2 * 4
    for (method, share, metric), row in rows.items():
        cells = [
            json.loads((ran / "cells" / f"{method}-{share}-seed{seed}.json").read_text())
            for seed in (0, 1)
        ]
        first, second = (cell["scores"][metric]["value"] for cell in cells)
        assert float(row["mean"]) == pytest.approx((first + second) / 2)
        assert float(row["sd"]) == pytest.approx(abs(first - second) / 2**0.5)
        assert row["leaky"] == "False"


def test_the_same_rows_are_tuned_whatever_the_method(ran: Path) -> None:
    for share in ("0.5", "1.0"):
        for seed in (0, 1):
            cells = [
                json.loads((ran / "cells" / f"{method}-{share}-seed{seed}.json").read_text())
                for method in SMALL["methods"]  # type: ignore[attr-defined]
            ]
            assert cells[0]["train"] == cells[1]["train"]


def test_methods_are_compared_with_supervised_at_every_share(ran: Path) -> None:
    document = json.loads((ran / "run.json").read_text())
    found = [(c["first"], c["second"], c["fraction"]) for c in document["comparisons"]]
    assert found == [("simclr", "supervised", 0.5), ("simclr", "supervised", 1.0)]
    for line in document["comparisons"]:
        own, base = (
            next(
                one["scores"]["accuracy"]["value"]
                for one in document["settings"]
                if (one["method"], one["fraction"]) == (line[side], line["fraction"])
            )
            for side in ("first", "second")
        )
        assert line["scores"]["accuracy"]["difference"]["value"] == pytest.approx(own - base)


def test_the_page_has_the_papers_numbers_apart_and_how_it_was_made(ran: Path) -> None:
    page = (ran / "report.html").read_text()
    assert "another data set, not comparable" in page
    assert "1.595 / 67.10" in page
    assert f"microtome experiment label-efficiency {ran / 'config.json'}" in page
    assert "torch" in page
    assert "<script" not in page


def test_the_recorded_config_can_be_run_again(ran: Path, microtome: Run) -> None:
    before = (ran / "table.csv").read_bytes()
    done = microtome("experiment", "label-efficiency", "--config", ran / "config.json")
    assert done.code == 0, done.err
    assert (ran / "table.csv").read_bytes() == before
    assert "means over seeds, 95 % intervals over patients" in done.out


def test_a_killed_run_goes_on_and_ends_with_the_same_table(
    ran: Path, cohort: Path, tmp_path: Path, microtome: Run
) -> None:
    out = tmp_path / "run"
    file = write_toml(tmp_path / "e.toml", cohort, out, **SMALL)
    words = [sys.executable, "-m", "workflows.cli", "experiment", "label-efficiency", str(file)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen([*words, "--quiet"], env=os.environ | threads) as process:
        _wait(lambda: len(list((out / "cells").glob("*.json"))) >= 2, process)
        process.send_signal(signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in (out / "cells").glob("*.json")}
    assert 2 <= len(kept) < 8
    assert not (out / "table.csv").exists()
    assert microtome("experiment", "label-efficiency", file, "--quiet").code == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    for name in ("table.csv", "table.md", "plot.svg"):
        assert (out / name).read_bytes() == (ran / name).read_bytes()


def _wait(there: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not there():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_cell_that_fails_is_told_and_tried_again(
    cohort: Path, tmp_path: Path, toml: Write, microtome: Run
) -> None:
    stray = tmp_path / "run" / "pretext" / "rotnet-0.5-seed0" / "mine.txt"
    words = {"methods": ["supervised", "rotnet"], "fractions": [0.5], "seeds": [0]}
    file = toml(cohort, tmp_path / "run", **words, finetune_epochs=1)
    first = microtome("experiment", "label-efficiency", file, "--methods", "supervised", "--quiet")
    assert first.code == 0
    stray.parent.mkdir(parents=True)
    stray.write_text("x")
    done = microtome("experiment", "label-efficiency", file)
    assert done.code == 3
    assert "failed   rotnet-0.5-seed0:" in done.out
    table = (tmp_path / "run" / "table.md").read_text()
    assert "| rotnet | failed |" in table
    assert "rotnet-0.5-seed0 failed" in (tmp_path / "run" / "report.html").read_text()
    stray.unlink()
    assert microtome("experiment", "label-efficiency", file, "--quiet").code == 0
    assert "failed" not in (tmp_path / "run" / "table.md").read_text()


def test_a_chained_pretraining_starts_from_the_given_weights(
    cohort: Path, tmp_path: Path, toml: Write, microtome: Run
) -> None:
    organ = import_cohort(tmp_path / "organ", {"": 4}, seed=9)
    changes = {"fractions": [0.5], "seeds": [3], "pretext_lr": 1e-12, "finetune_epochs": 1}
    file = toml(cohort, tmp_path / "run", **changes, organ_archive=str(organ))
    words = ["experiment", "label-efficiency", file, "--quiet", "--methods"]
    assert microtome(*words, "supervised+organ").code == 0
    given = tmp_path / "run" / "pretext" / "organ-seed3" / "encoder.safetensors"
    _mark(given)
    assert microtome(*words, "simclr+organ").code == 0
    cell = json.loads((tmp_path / "run" / "cells" / "simclr-organ-0.5-seed3.json").read_text())
    first, second = cell["pretext"]
    assert (first["init"], first["data"]["patches"]) == ("random", 24)
    assert second["init"] == str(given)
    assert second["seen"][:2] == first["seen"]
    assert len(second["seen"]) == 3
    own = tmp_path / "run" / second["folder"] / "encoder.safetensors"
    start, end = (open_encoder(str(path)) for path in (given, own))
    for before, after in zip(start.parameters(), end.parameters(), strict=True):
        assert torch.allclose(before, after, atol=1e-6)  # at that rate nothing moves
    assert float(next(end.parameters()).detach().mean()) == pytest.approx(0.125, abs=1e-6)


def _mark(checkpoint: Path) -> None:
    """Give the weights a value that no drawing has."""
    from models.encoders import save_checkpoint

    encoder = open_encoder(str(checkpoint))
    with torch.no_grad():
        next(encoder.parameters()).fill_(0.125)
    save_checkpoint(checkpoint, encoder, encoder.card)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"encoder": "resnet_nope"}, "no encoder is called 'resnet_nope'"),
        ({"test_split": "other"}, "no labelled patches are in the split 'other'"),
        ({"fractions": [0.0, 1.0]}, "above 0 and at most 1"),
        ({"seeds": []}, "give at least one seed"),
        ({"epochs": 3}, "unknown key 'epochs' in the config file"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    cohort: Path, tmp_path: Path, toml: Write, microtome: Run, changes: Any, sentence: str
) -> None:
    done = microtome("experiment", "label-efficiency", toml(cohort, tmp_path / "run", **changes))
    assert done.code == 2
    assert sentence in done.err
    assert not (tmp_path / "run").exists()


def test_other_settings_do_not_mix_with_the_cells_that_are_there(
    cohort: Path, ran: Path, toml: Write, microtome: Run
) -> None:
    file = toml(cohort, ran, **(SMALL | {"finetune_epochs": 3}))
    done = microtome("experiment", "label-efficiency", file)
    assert done.code == 2
    assert "holds an experiment with other settings" in done.err
