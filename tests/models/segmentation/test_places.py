from pathlib import Path

import pytest

from models.errors import WeightsError
from models.segmentation.places import find_beside, find_model


def test_a_model_is_found_by_its_file_or_by_the_folder_of_its_run(tmp_path: Path) -> None:
    segmenter, other = tmp_path / "segmenter.safetensors", tmp_path / "mine.safetensors"
    for file in (segmenter, other):
        file.touch()
    assert find_model(tmp_path, "segmenter") == segmenter
    assert find_model(str(other), "segmenter") == other


def test_the_classifier_beside_a_segmenter_is_found(tmp_path: Path) -> None:
    assert find_beside(tmp_path) is None
    (tmp_path / "classifier.safetensors").touch()
    assert find_beside(tmp_path) == tmp_path / "classifier.safetensors"
    assert find_beside(tmp_path / "segmenter.safetensors") == tmp_path / "classifier.safetensors"


def test_a_folder_without_the_model_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"there is no model .*nowhere"):
        find_model(tmp_path / "nowhere", "segmenter")
    with pytest.raises(WeightsError, match=r"a segmenter is needed; .* holds no model at all"):
        find_model(tmp_path, "segmenter")
    (tmp_path / "classifier.safetensors").touch()
    with pytest.raises(WeightsError, match=r"holds only classifier\.safetensors"):
        find_model(tmp_path, "segmenter")
