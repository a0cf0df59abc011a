"""A tiny archive with labels, patients and splits, imported from images like a person's."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from workflows import cli

PX = 32
NAMES = ("benign", "tumour")
COUNTS = {"train": 8, "val": 2, "test": 4}
PER_PATIENT = 6


def write_cohort(folder: Path, counts: dict[str, int], seed: int = 0) -> Path:
    """Images of patients whose class shows in the colour, two slides each; gives the CSV."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    lines = []
    patients = [
        (split, f"p{seed}{split}{i}", i % 2) for split, n in counts.items() for i in range(n)
    ]
    for split, patient, label in patients:
        for patch in range(PER_PATIENT):
            pixels = rng.integers(60, 200, (PX, PX, 3))
            pixels[..., 0] += 40 * label
            name = f"{patient}-{patch}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
            slide = f"{patient}-{patch % 2}"
            lines.append((name, slide, patient, split, NAMES[label], NAMES[label]))
    table = folder / "patches.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "slide_id", "patient", "split", "label", "slide_label"))
        writer.writerows(lines)
    return table


def import_cohort(folder: Path, counts: dict[str, int], seed: int = 0) -> Path:
    return import_table(write_cohort(folder / "images", counts, seed), folder / "cohort.zarr")


def import_table(table: Path, archive: Path) -> Path:
    words = ["import", "patches", table, "--out", archive, "--pictures", 0, "--quiet"]
    assert cli.run([str(word) for word in words]) == 0
    return archive


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """With several threads sums are rounded in another order from one process to the next."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight patients teach, two are of the validation split, four test; not to be changed."""
    return import_cohort(tmp_path_factory.mktemp("cohort"), COUNTS)


Write = Callable[..., Path]


@pytest.fixture
def toml(tmp_path: Path) -> Write:
    """Write a config file of the smallest experiment, with changes."""

    def write(archive: Path, out: Path, **changes: object) -> Path:
        return write_toml(tmp_path / "experiment.toml", archive, out, **changes)

    return write


def write_toml(file: Path, archive: Path, out: Path, **changes: object) -> Path:
    values: dict[str, object] = {
        "archive": str(archive),
        "out": str(out),
        "seeds": [0, 1],
        "encoder": "test_resnet",
        "init": "random",
        "input_px": PX,
        "pretext_epochs": 1,
        "resamples": 40,
        "device": "cpu",
    }
    lines = [f"{name} = {_toml(value)}" for name, value in (values | changes).items()]
    file.write_text("\n".join(lines) + "\n")
    return file


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
