"""What a training is made of, and what is refused."""

import json
from pathlib import Path

import pytest

from tests.workflows.training.functions import training
from workflows.training.spec import Training


@pytest.mark.parametrize("entry", ["workflows.pretrain", "workflows.pretrain:", ":train", ""])
def test_an_entry_names_module_and_function(entry: str) -> None:
    with pytest.raises(ValueError, match="entry must be module:function"):
        Training(entry, {}, "/folder")


def test_a_relative_folder_is_refused_as_workers_start_elsewhere() -> None:
    with pytest.raises(ValueError, match="folder must be an absolute path, got 'run'"):
        Training("module:function", {}, "run")


def test_a_document_gives_the_same_training_back(tmp_path: Path) -> None:
    made = training("count", tmp_path, steps=3)
    assert Training(**json.loads(json.dumps(made.document()))) == made


def test_arguments_reach_the_function_as_json_gives_them(tmp_path: Path) -> None:
    made = training("echo", tmp_path, layers=(1, 2), by_number={3: "three"})
    given = made.call(lambda _: None, lambda: False)["given"]
    assert given["layers"] == [1, 2]
    assert given["by_number"] == {"3": "three"}
