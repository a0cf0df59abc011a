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
