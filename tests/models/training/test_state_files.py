"""States that are damaged, cut short, of other runs, or too many."""

import logging
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.errors import WeightsError
from models.training.state import latest_state, load_state, prune_states, save_state
from tests.models.training.small import start, train


def _save(folder: Path, step: int, identity: str = "me") -> Path:
    path = folder / f"state-{step}.safetensors"
    net = nn.Linear(2, 2)
    about = {"step": step, "identity": identity}
    save_state(path, net, torch.optim.SGD(net.parameters(), 0.1), about)
    os.utime(path, ns=(step * 10**9, step * 10**9))
    return path


def _load(path: Path) -> None:
    net = nn.Linear(2, 2)
    load_state(path, net, torch.optim.SGD(net.parameters(), 0.1))


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = _save(tmp_path, 1)
    whole = path.read_bytes()
    _load(path)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"damaged|no state of a training run"):
            _load(path)


def test_a_state_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = _save(tmp_path, 1)
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="damaged or cut short"):
            _load(path)


def test_tensors_that_changed_places_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    net, optimizer = start("adamw")
    train(net, optimizer, "adamw", range(2))
    save_state(path, net, optimizer, {})
    data = path.read_bytes()
    changed = data.replace(b".exp_avg_sq", b".exp_avg_xx").replace(b".exp_avg_xx", b".exp_avg_qs")
    assert changed != data
    path.write_bytes(changed)
    with pytest.raises(WeightsError, match="does not hold what was written"):
        load_state(path, net, optimizer)


def test_missing_files_and_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no state"):
        _load(tmp_path / "state-1.safetensors")
    save_file({"weight": torch.zeros(2, 2)}, tmp_path / "encoder.safetensors")
    with pytest.raises(WeightsError, match="no state of a training run"):
        _load(tmp_path / "encoder.safetensors")
    with pytest.raises(WeightsError, match="damaged or cut short"):
        _load(tmp_path)


def test_the_newest_state_is_that_of_the_most_steps(tmp_path: Path) -> None:
    for step in (9, 100, 20):
        _save(tmp_path, step)
    (tmp_path / "state-final.safetensors").touch()
    (tmp_path / "state-200.safetensors.bak").touch()
    assert latest_state(tmp_path, "me") == tmp_path / "state-100.safetensors"


def test_a_damaged_state_gives_way_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _save(tmp_path, 9)
    newest = _save(tmp_path, 10)
    newest.write_bytes(newest.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        assert latest_state(tmp_path, "me") == tmp_path / "state-9.safetensors"
    assert "state-10.safetensors is damaged or cut short" in caplog.text
    assert "the state before it is used" in caplog.text


def test_states_of_another_run_are_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _save(tmp_path, 9)
    _save(tmp_path, 10, identity="other")
    with caplog.at_level(logging.WARNING):
        assert latest_state(tmp_path, "me") == tmp_path / "state-9.safetensors"
    assert "state-10.safetensors is of a run with other settings" in caplog.text
    assert latest_state(tmp_path, "nobody") is None


def test_there_may_be_no_state(tmp_path: Path) -> None:
    assert latest_state(tmp_path, "me") is None
    assert latest_state(tmp_path / "missing", "me") is None


@pytest.mark.parametrize(("keep", "left"), [(2, [20, 30]), (1, [30]), (0, []), (9, [10, 20, 30])])
def test_only_the_last_states_are_kept(keep: int, left: list[int], tmp_path: Path) -> None:
    for step in (10, 20, 30):
        _save(tmp_path, step)
    (tmp_path / "encoder.safetensors").touch()
    prune_states(tmp_path, keep)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"encoder.safetensors"} | {f"state-{step}.safetensors" for step in left}


def test_a_damaged_later_state_does_not_push_out_good_ones(tmp_path: Path) -> None:
    _save(tmp_path, 50)
    later = _save(tmp_path, 100)
    os.utime(later, ns=(1, 1))  # written before the run went on from 50
    for step in (60, 70):
        _save(tmp_path, step)
        prune_states(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"state-60.safetensors", "state-70.safetensors"}


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    kept = _save(tmp_path, 1)
    left = tmp_path / ".state-2.safetensors.abcd1234.tmp"
    left.mkdir()
    shutil.copy(kept, left / "state-2.safetensors")
    assert latest_state(tmp_path, "me") == kept
    prune_states(tmp_path)
    assert list(tmp_path.iterdir()) == [kept]
