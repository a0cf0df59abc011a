import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from models.errors import MissingExtraError
from models.training.journal import Journal


def _step(step: int, **changes: Any) -> dict[str, Any]:
    metrics = {"positives": step / 2, "mean_s": 5}
    line = {"kind": "step", "step": step, "epoch": 0, "loss": 1 / (step + 1), "metrics": metrics}
    return line | changes


def _read(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def _events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder / "tensorboard")).Reload()


def _curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in _events(folder).Scalars(tag)]


def test_lines_are_kept_as_they_are(tmp_path: Path) -> None:
    lines = [
        _step(1, loss=0.1 + 0.2),
        {"kind": "epoch", "step": 1, "epoch": 0, "loss": 2.5, "knn": None},
        {"kind": "note", "step": 1, "text": "ä resumed"},
        {"kind": "start", "step": 0, "steps": 9},
    ]
    with Journal(tmp_path, 0) as journal:
        for line in lines:
            journal.write(line)
    assert _read(tmp_path) == lines


def test_numbers_that_json_does_not_have_are_null(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal:
        journal.write(_step(1, loss=math.nan, metrics={"a": math.inf, "b": [-math.inf, 1.0]}))
    text = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == _step(
        1, loss=None, metrics={"a": None, "b": [None, 1.0]}
    )


def test_tensorboard_reads_the_same_curves(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal:
        for step in (10, 20, 30):
            journal.write(_step(step, grad_norm=None))
        journal.write({"kind": "epoch", "step": 30, "epoch": 0, "knn": 0.75})
        journal.write({"kind": "start", "step": 0, "steps": 9})
        journal.write({"kind": "note", "step": 30, "text": "went on"})
    assert _curve(tmp_path, "step/loss") == [(s, pytest.approx(1 / (s + 1))) for s in (10, 20, 30)]
    assert _curve(tmp_path, "metrics/positives") == [(10, 5.0), (20, 10.0), (30, 15.0)]
    assert _curve(tmp_path, "epoch/knn") == [(30, 0.75)]
    tags = _events(tmp_path).Tags()
    assert set(tags["scalars"]) == {
        "step/loss",
        "step/epoch",
        "metrics/positives",
        "metrics/mean_s",
        "epoch/knn",
        "epoch/epoch",
    }
    (note,) = _events(tmp_path).Tensors("note/text_summary")
    assert (note.step, note.tensor_proto.string_val) == (30, [b"went on"])


def test_a_resumed_run_cuts_off_later_and_torn_lines(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal:
        for step in (10, 20, 30, 40):
            journal.write(_step(step))
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + b'{"kind": "step", "st')
    with Journal(tmp_path, 20) as journal:
        assert _read(tmp_path) == [_step(10), _step(20)]
        journal.write(_step(30, loss=7.0))
    assert _read(tmp_path) == [_step(10), _step(20), _step(30, loss=7.0)]
    assert [s for s, _ in _curve(tmp_path, "step/loss")] == [10, 20, 30]
    assert _curve(tmp_path, "step/loss")[-1] == (30, 7.0)


def test_a_whole_line_without_its_end_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}')
    with Journal(tmp_path, 2, tensorboard=False) as journal:
        journal.write({"kind": "note", "step": 2, "text": "t"})
    assert [line["step"] for line in _read(tmp_path)] == [1, 2]
    assert "text" in _read(tmp_path)[1]


def test_damaged_lines_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n\xff\xfe\n[3]\n{"kind": "x"}\n')
    Journal(tmp_path, 5, tensorboard=False).close()
    assert _read(tmp_path) == [{"step": 1}, {"kind": "x"}]


def test_a_new_run_begins_with_empty_files(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal:
        journal.write(_step(10))
    with Journal(tmp_path, 0) as journal:
        journal.write(_step(5))
    assert _read(tmp_path) == [_step(5)]
    assert [step for step, _ in _curve(tmp_path, "step/loss")] == [5]


def test_only_the_first_rank_writes(tmp_path: Path) -> None:
    with Journal(tmp_path / "run", 0, rank=1) as journal:
        journal.write(_step(1))
        journal.flush()
    assert not (tmp_path / "run").exists()


def test_tensorboard_can_be_left_out(tmp_path: Path) -> None:
    with Journal(tmp_path, 0, tensorboard=False) as journal:
        journal.write(_step(1))
        journal.flush()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


KILLED = """
import os, signal, sys
from pathlib import Path
from models.training.journal import Journal
journal = Journal(Path(sys.argv[1]), 0)
for step in (1, 2, 3):
    journal.write({"kind": "step", "step": step, "loss": 0.5})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_no_line(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False, timeout=60)
    assert killed.returncode == -9
    assert [line["step"] for line in _read(tmp_path)] == [1, 2, 3]
    assert [step for step, _ in _curve(tmp_path, "step/loss")] == [1, 2, 3]


def test_a_missing_tensorboard_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # importing it fails
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(MissingExtraError, match=r"tensorboard .*microtome\[models\]"):
        Journal(tmp_path, 0)
    Journal(tmp_path, 0, tensorboard=False).close()
