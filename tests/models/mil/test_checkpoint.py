"""Checkpoints of bag models: whole, deterministic, and never a pickle."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.errors import WeightsError
from models.mil.checkpoint import load_checkpoint, save_checkpoint
from models.mil.recipes import build_model
from models.mil.settings import ModelSettings

SETTINGS = ModelSettings("abmil", hidden_dim=16, attention_dim=4)
ABOUT = {
    "model": {"name": "abmil", "hidden_dim": 16, "attention_dim": 4},
    "dim": 6,
    "classes": ["a", "b"],
    "fold": 0,
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "fold-0.safetensors"
    save_checkpoint(path, build_model(SETTINGS, 6, 2, seed=1).state_dict(), ABOUT)
    return path


def test_a_model_is_what_it_was(checkpoint: Path) -> None:
    model, about = load_checkpoint(checkpoint)
    expected = build_model(SETTINGS, 6, 2, seed=1).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
    assert about == ABOUT
    assert not model.training


def test_equal_models_are_equal_files(checkpoint: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, build_model(SETTINGS, 6, 2, seed=1).state_dict(), dict(ABOUT))
    assert other.read_bytes() == checkpoint.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {checkpoint.name, other.name}


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no weights at .*nothing\.safetensors"):
        load_checkpoint(tmp_path / "nothing.safetensors")


def test_a_damaged_file_is_told(checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:-8])
    with pytest.raises(WeightsError, match="holds no model of bags, or is damaged"):
        load_checkpoint(checkpoint)


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="holds no model of bags, or is damaged"):
        load_checkpoint(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model": {"name": "nothing"}}, "no model 'nothing'; there are: abmil"),
        ({"model": {"name": "mean", "later": 1}}, "unknown settings"),
        ({"dim": 7}, "size mismatch"),
        ({"classes": ["a", "b", "c"]}, "size mismatch"),
    ],
)
def test_weights_of_something_else_are_told(
    tmp_path: Path, change: dict[str, object], match: str
) -> None:
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, build_model(SETTINGS, 6, 2, seed=1).state_dict(), ABOUT | change)
    with pytest.raises(WeightsError, match=match):
        load_checkpoint(path)


def test_safetensors_of_another_program_are_told(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="holds no model of bags"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_nan_in_weights_is_told(tmp_path: Path) -> None:
    state = build_model(SETTINGS, 6, 2, seed=1).state_dict()
    state["net.classifier.bias"][0] = torch.nan
    save_checkpoint(tmp_path / "x.safetensors", state, ABOUT)
    with pytest.raises(WeightsError, match="holds NaN or infinity"):
        load_checkpoint(tmp_path / "x.safetensors")
