"""`microtome experiment federated` from the file to the tables, on tiny volumes."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest

from models.errors import DataError
from models.federated.joining import find_members
from tests.models.federated.small import make_archive
from workflows import cli
from workflows.experiments.federated import fold_of, patients_of
from workflows.experiments.federated_tables import main_tables, over_sites

SMALL = """
archive = "{archive}"
out = "{out}"
starts = ["random", "local", "fcl"]
annotated = [1, 2]
seeds = [0, 1]
folds = 3
side-px = 16
width = 2
rounds = 1
batch = 8
features = 4
tune-steps = 2
tune-rounds = 2
tune-batch = 4
device = "cpu"
"""

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run; not to be changed."""
    folder = tmp_path_factory.mktemp("federated")
    archive = make_archive(folder, ("a", "b"), 3)
    file = folder / "e.toml"
    file.write_text(SMALL.format(archive=archive, out=folder / "run"))
    assert cli.run(["experiment", "federated", str(file), "--quiet"]) == 0
    return folder / "run"


def test_a_run_leaves_cells_tables_a_plot_and_a_page(ran: Path) -> None:
    names = {path.name for path in ran.iterdir()}
    assert names >= {"config.json", "run.json", "table.md", "table.csv", "plot.svg", "report.html"}
    assert len(list((ran / "cells").glob("*.json"))) == 3 * 2 * 2 * 2
    assert {path.name for path in (ran / "pretext").iterdir()} == {
        f"{start}-seed{seed}" for start in ("local", "fcl") for seed in (0, 1)
    }
    text = (ran / "table.md").read_text()
    assert "### Local fine-tuning" in text
    assert "### Federated fine-tuning" in text
    assert text.count("| FCL |") == 2
    assert "| N = 1 | N = 2 |" in text


def test_tables_are_means_over_sites_of_means_over_seeds(ran: Path) -> None:
    with (ran / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    (row,) = [r for r in rows if (r["start"], r["mode"], r["n"]) == ("fcl", "local", "2")]
    dice = [np.load(ran / "cells" / f"fcl-local-n2-seed{s}.npz")["dice"] for s in (0, 1)]
    sites = [fmean(one) for one in zip(*dice, strict=True)]
    assert float(row["dice"]) == pytest.approx(fmean(sites))
    assert float(row["sd_sites"]) == pytest.approx(stdev(sites))
    assert [float(row[name]) for name in ("a", "b")] == pytest.approx(sites)


def test_a_run_goes_on_cell_by_cell(ran: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (ran / "cells").iterdir()}
    gone = ran / "cells" / "fcl-federated-n1-seed1.json"
    kept = json.loads(gone.read_text())
    gone.unlink()
    assert cli.run(["experiment", "federated", str(ran / "config.json"), "--quiet"]) == 0
    after = {path: path.stat().st_mtime_ns for path in (ran / "cells").iterdir()}
    changed = {path.stem for path in after if after[path] != before[path]}
    assert changed == {"fcl-federated-n1-seed1"}
    assert json.loads(gone.read_text())["dice"] == kept["dice"]


def test_folds_share_no_patient_and_annotated_ones_are_nested() -> None:
    site = {f"p{i}": (f"{i}-ed", f"{i}-es") for i in range(10)}
    tested = [fold_of("a", site, seed, 5).test for seed in range(5)]
    assert sorted(sum(tested, ())) == sorted(sum(site.values(), ()))
    for seed in range(5):
        fold = fold_of("a", site, seed, 5)
        assert len(fold.train) == 8
        assert fold.annotated(3) == sum(fold.train[:3], ())
        patients = [{name[0] for name in part} for part in (fold.annotated(8), fold.test)]
        assert not patients[0] & patients[1]
        assert fold == fold_of("a", site, seed, 5)
    assert fold_of("a", site, 0, 5).test == fold_of("a", site, 5, 5).test
    assert fold_of("a", site, 0, 5).train != fold_of("a", site, 5, 5).train
    with pytest.raises(DataError, match="a has 10 patients for 11 folds"):
        fold_of("a", site, 0, 11)


def test_volumes_of_one_patient_stay_together(tmp_path: Path) -> None:
    archive = make_archive(tmp_path, ("a",), 3)
    for name in ("a0", "a2"):
        path = archive / name / "zarr.json"
        document = json.loads(path.read_text())
        document["attributes"]["microtome"]["patient"] = "one"
        path.write_text(json.dumps(document))
    (site,) = find_members([str(archive)], None)
    assert patients_of(site) == {"pone": ("a0", "a2"), "va1": ("a1",)}


def test_deviations_are_over_sites_and_over_seeds() -> None:
    found = over_sites([[0.2, 0.4], [0.4, 0.8]])
    assert found is not None
    assert found["value"] == pytest.approx(0.45)
    assert found["sites"] == pytest.approx([0.3, 0.6])
    assert found["sd"] == pytest.approx(stdev([0.3, 0.6]))
    assert found["sd_of_seeds"] == pytest.approx(stdev([0.3, 0.6]))
    one = over_sites([[0.5]])
    assert one is not None
    assert one["sd_of_seeds"] is None


def test_what_is_not_defined_is_left_out_of_means() -> None:
    nan = float("nan")
    found = over_sites([[0.2, nan, nan], [0.4, 0.8, nan]])
    assert found is not None
    assert found["sites"] == [pytest.approx(0.3), 0.8, None]
    assert found["value"] == pytest.approx(0.55)
    assert over_sites([[nan], [nan]]) is None


def test_a_cell_of_fewer_seeds_says_so() -> None:
    config = {"modes": ["local"], "starts": ["fcl"], "annotated": [1, 2], "seeds": [0, 1, 2]}
    lines = [
        {"start": "fcl", "mode": "local", "n": 1, "seeds": [0, 2], "dice": over_sites([[0.5]] * 2)},
        {"start": "fcl", "mode": "local", "n": 2, "seeds": [], "dice": None},
    ]
    (table,) = main_tables({"config": config, "sites": ["a"], "settings": lines})
    assert table.rows == [["FCL", "0.500 ± 0.000 (2 of 3 seeds)", "-"]]


def test_more_annotated_volumes_than_there_are_is_refused(
    ran: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((ran / "config.json").read_text()) | {"annotated": [3]}
    file = ran.parent / "more.json"
    file.write_text(json.dumps(config))
    assert cli.run(["experiment", "federated", str(file), "--quiet"]) != 0
    assert "a site has 2 patients that do not test" in capsys.readouterr().err
