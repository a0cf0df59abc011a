import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from starlette.testclient import TestClient
from torch import nn

from models.encoders.checkpoint import save_checkpoint
from models.encoders.table import known_encoders
from models.probe.weights import LinearProbe, ProbeCard, pack_probe
from models.segmentation.card import TissueCard
from models.segmentation.model import save_model
from tests.service.planted import card
from tests.workflows.test_mil import train


@pytest.fixture
def models(work: Path) -> Path:
    """A model of each kind, and files that are none."""
    network, known = nn.Linear(3, 2), card("mine", 16)
    known = known.model_copy(update={"data": ("/mnt/archives/a.zarr",), "weights": "encoder"})
    save_checkpoint(work / "runs" / "ssl" / "encoder.safetensors", network, known)
    tissue = TissueCard(
        name="T", role="segmenter", architecture="unet", classes=("a", "b"), patch_px=64, mpp=0.5
    )
    save_model(work / "runs" / "seg" / "segmenter.safetensors", network, tissue)
    ones = np.ones(4, np.float32)
    probe = LinearProbe(np.ones((2, 4), np.float32), ones[:2], ones, ones)
    about = ProbeCard(encoder_id="mine", encoder=known, classes=("x", "y"))
    (work / "probe.safetensors").write_bytes(pack_probe(probe, about))
    save_file({"a": torch.zeros(3)}, work / "runs" / "other.safetensors")
    (work / "runs" / "half.safetensors").write_bytes(b"\xff" * 20)
    (work / "runs" / "empty.safetensors").touch()
    (work / "runs" / "run.json").write_text(json.dumps({"format": 1}))
    return work


def listed(client: TestClient, what: str) -> dict[str, Any]:
    answer = client.get(f"/api/v1/{what}")
    assert answer.status_code == 200, answer.text
    return {one.get("path", one["name"]): one for one in answer.json()}


def test_models_are_found_by_their_cards(client: TestClient, models: Path) -> None:
    found = listed(client, "models")
    assert {path: one["kind"] for path, one in found.items()} == {
        "probe.safetensors": "probe",
        "runs/seg/segmenter.safetensors": "segmenter",
        "runs/ssl/encoder.safetensors": "encoder",
    }
    segmenter = found["runs/seg/segmenter.safetensors"]
    assert (segmenter["name"], segmenter["classes"], segmenter["mpp"]) == ("T", ["a", "b"], 0.5)
    assert found["probe.safetensors"]["classes"] == ["x", "y"]
    assert str(models) not in json.dumps(found)
    assert "/mnt" not in json.dumps(found)


def test_encoders_are_own_checkpoints_and_published_ones(client: TestClient, models: Path) -> None:
    found = listed(client, "encoders")
    own = found.pop("runs/ssl/encoder.safetensors")
    assert (own["kind"], own["encoder_id"], own["dim"]) == ("checkpoint", "mine", 16)
    assert own["card"]["data"] == ["a.zarr"]
    assert set(found) == {row.name for row in known_encoders()}
    assert {one["kind"] for one in found.values()} == {"published"}


def test_a_finished_run_of_slide_classifiers_is_one_model(
    client: TestClient, work: Path, tmp_path: Path
) -> None:
    from tests.models.mil.cohorts import planted_cohort, write_cohort

    slides = planted_cohort(patients=12, slides_each=1, patches=(3, 4), share=0.5)
    archive = write_cohort(tmp_path / "cohort.zarr", slides)
    assert train(archive, work / "runs" / "mil") == 0
    found = listed(client, "models")
    assert list(found) == ["runs/mil"]
    assert found["runs/mil"]["kind"] == "mil"
    assert found["runs/mil"]["classes"]
    assert str(tmp_path) not in json.dumps(found)


def test_links_that_lead_out_are_not_followed(
    client: TestClient, models: Path, tmp_path: Path
) -> None:
    shutil.move(models / "runs", tmp_path / "outside")
    (models / "runs").symlink_to(tmp_path / "outside")
    (models / "link.safetensors").symlink_to(tmp_path / "outside/ssl/encoder.safetensors")
    assert list(listed(client, "models")) == ["probe.safetensors"]


def test_a_model_that_is_replaced_is_read_again(client: TestClient, models: Path) -> None:
    listed(client, "models")
    path = models / "runs" / "ssl" / "encoder.safetensors"
    save_checkpoint(path, nn.Linear(3, 2), card("another", 32))
    assert listed(client, "models")["runs/ssl/encoder.safetensors"]["name"] == "another"
    path.unlink()
    assert "runs/ssl/encoder.safetensors" not in listed(client, "models")


def test_an_archive_is_summed_up(client: TestClient) -> None:
    assert listed(client, "archives") == {
        "demo.zarr": {
            "name": "demo.zarr",
            "slides": 1,
            "patches": 55,
            "patch_sizes_px": [240],
            "mpps": [0.499],
            "encoders": ["colour-histogram", "colour-layout"],
            "maps": ["attention-demo", "tissue"],
        }
    }


def test_an_archive_without_its_index_is_listed_and_not_written_to(
    client: TestClient, work: Path
) -> None:
    (work / "demo.zarr" / "slides.parquet").unlink()
    assert listed(client, "archives")["demo.zarr"]["slides"] == 1
    assert not (work / "demo.zarr" / "slides.parquet").exists()
