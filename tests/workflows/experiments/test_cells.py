import json
from pathlib import Path

import numpy as np
import pytest

from workflows.errors import UsageError
from workflows.experiments.cells import CellStore, Result

RESULT = Result({"value": 0.5}, {"probabilities": np.array([[0.25, 0.75]])})


@pytest.fixture
def store(tmp_path: Path) -> CellStore:
    found = CellStore(str(tmp_path / "out"))
    found.start({"seeds": [0]}, "abc", overwrite=False)
    return found


def test_a_cell_comes_back_as_it_was_written(store: CellStore) -> None:
    assert store.read("a") is None
    store.write("a", RESULT)
    found = store.read("a")
    assert found is not None
    assert found.document["value"] == 0.5
    assert np.array_equal(found.arrays["probabilities"], [[0.25, 0.75]])
    assert store.failure("a") is None


def test_a_cell_whose_arrays_are_damaged_or_missing_is_not_there(store: CellStore) -> None:
    store.write("a", RESULT)
    file = store.folder / "cells" / "a.npz"
    file.write_bytes(file.read_bytes()[:-1])
    assert store.read("a") is None
    file.unlink()
    assert store.read("a") is None


def test_a_half_written_document_is_no_cell(store: CellStore) -> None:
    store.write("a", RESULT)
    file = store.folder / "cells" / "a.json"
    file.write_text(file.read_text()[:-20])
    assert store.read("a") is None
    assert store.failure("a") is None


def test_a_failed_cell_is_no_result_until_it_succeeds(store: CellStore) -> None:
    store.fail("a", {"error": "the loss is nan"})
    assert store.read("a") is None
    assert store.failure("a") == {"error": "the loss is nan"}
    store.write("a", RESULT)
    assert store.failure("a") is None
    assert store.read("a") is not None


def test_arrays_need_no_pickle(store: CellStore) -> None:
    store.write("a", RESULT)
    with np.load(store.folder / "cells" / "a.npz", allow_pickle=False) as arrays:
        assert list(arrays) == ["probabilities"]


def test_the_same_experiment_goes_on_and_another_is_refused(store: CellStore) -> None:
    store.write("a", RESULT)
    again = CellStore(str(store.folder))
    again.start({"seeds": [0, 1]}, "abc", overwrite=False)
    assert again.read("a") is not None
    assert json.loads((store.folder / "config.json").read_text()) == {"seeds": [0, 1]}
    with pytest.raises(UsageError, match="other settings or other patches; choose another folder"):
        CellStore(str(store.folder)).start({}, "other", overwrite=False)


def test_overwriting_throws_away_the_cells_and_the_pretraining_of_another(store: CellStore) -> None:
    store.write("a", RESULT)
    (store.folder / "pretext" / "x").mkdir(parents=True)
    store.start({}, "abc", overwrite=True)
    assert store.read("a") is not None  # it is the same experiment
    store.start({}, "other", overwrite=True)
    assert store.read("a") is None
    assert not (store.folder / "pretext").exists()


@pytest.mark.parametrize("name", ["mine.txt", "experiment.json"])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(UsageError, match="holds other files"):
        CellStore(str(tmp_path)).start({}, "abc", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="holds other files"):
        CellStore(str(tmp_path / "file")).start({}, "abc", overwrite=False)
