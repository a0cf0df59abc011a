"""Planted models in one folder, as a run leaves them, and patches of known scores."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.workflows.segmenting.planted import (
    patches,
    save_classifier,
    save_segmenter,
    write_patches,
)
from tests.workflows.segmenting.tissues import CLASSIFY, import_set, write_set
from workflows import cli

BY_COLUMNS = ("--labels", "column:red,green,blue")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a classifier and a segmenter; not to be changed."""
    folder = tmp_path_factory.mktemp("planted") / "run"
    folder.mkdir()
    save_classifier(folder / "classifier.safetensors")
    save_segmenter(folder / "segmenter.safetensors")
    return folder


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the planted patches; not to be changed."""
    folder = tmp_path_factory.mktemp("truth")
    table = write_patches(folder / "files", patches())
    words = ["import", "patches", table, "--out", folder / "truth.zarr", *BY_COLUMNS, "--quiet"]
    assert cli.run([str(word) for word in words]) == 0
    return folder / "truth.zarr"


@pytest.fixture(scope="session")
def tissues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of three tissues with labels, masks and splits; not to be changed."""
    folder = tmp_path_factory.mktemp("tissues")
    return import_set(write_set(folder / "files"), folder / "tissues.zarr")


@pytest.fixture(scope="session")
def stage_one(tmp_path_factory: pytest.TempPathFactory, tissues: Path) -> Path:
    """A classifier that was trained on them; not to be changed."""
    out = tmp_path_factory.mktemp("stage-one") / "run"
    words = ["segment", "classify", tissues, *CLASSIFY, "--epochs", 12, "--out", out, "--quiet"]
    assert cli.run([str(word) for word in words]) == 0
    return out / "classifier.safetensors"
