"""A classifier of tissue trained on a GPU worker of a real Dask cluster."""

from pathlib import Path

import pytest

from models.segmentation.model import read_tissue_card
from tests.workflows.conftest import Microtome
from tests.workflows.segmenting.tissues import CLASSIFY
from tests.workflows.training.conftest import Cluster, cluster, one_worker

__all__ = ["cluster", "one_worker"]


@pytest.mark.slow
def test_a_gpu_worker_trains_as_this_process_does(
    microtome: Microtome, tissues: Path, tmp_path: Path, one_worker: Cluster
) -> None:
    words = ("segment", "classify", tissues, *CLASSIFY, "--epochs", 2, "--keep", "best", "--json")
    here = microtome(*words, "--out", tmp_path / "here").document
    far = ("--out", tmp_path / "there", "--scheduler", one_worker.address, "--processes", 1)
    assert microtome(*words, *far).code == 2  # a worker decides itself
    there = microtome(*words, *far[:-2]).document
    assert there["finished"]
    assert there["best"]["miou"] == pytest.approx(here["best"]["miou"], abs=0.05)
    ours, theirs = (
        read_tissue_card(tmp_path / run / "classifier.safetensors").model_dump()
        for run in ("here", "there")
    )
    assert ours | {"weights_sha256": ""} == theirs | {"weights_sha256": ""}
