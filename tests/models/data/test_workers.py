"""Real worker processes, forked and spawned, give what this process gives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from models.data import Batch, PatchDataset, iterate_batches
from models.data.loading import as_it_is

FORKED = "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"


def assert_equal(found: list[Batch], wanted: list[Batch]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        for name in ("pixels", "slide", "coords", "labels", "partition", "index"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.filterwarnings(FORKED)
@pytest.mark.parametrize(
    ("start", "used_before"), [("fork", False), ("fork", True), ("spawn", True)]
)
def test_workers_give_the_same_batches(archive: Path, start: str, used_before: bool) -> None:
    data = PatchDataset(str(archive), threads=2)
    order = np.random.default_rng(3).permutation(len(data))
    wanted = [data.__getitems__(order[i : i + 5]) for i in range(0, len(order), 5)]
    if not used_before:
        data = PatchDataset(str(archive), threads=2)
    found = list(iterate_batches(data, order, batch_size=5, workers=2, start=start))  # type: ignore[arg-type]
    assert_equal(found, wanted)


@pytest.mark.parametrize("ahead", [1, 3])
def test_a_thread_gives_the_same_batches(archive: Path, ahead: int) -> None:
    data = PatchDataset(str(archive), threads=2)
    order = np.arange(len(data))[::-1]
    wanted = [data.__getitems__(order[i : i + 7]) for i in range(0, len(order), 7)]
    assert_equal(list(iterate_batches(data, order, batch_size=7, ahead=ahead)), wanted)


def test_whole_batches_are_taken_as_they_are(archive: Path) -> None:
    data = PatchDataset(str(archive))
    batches = np.array([[0, 5, 9], [20, 1, 2]])
    found = [batch.index.tolist() for batch in iterate_batches(data, batches)]
    assert found == batches.tolist()


def test_plain_loaders_take_it(archive: Path) -> None:
    data = PatchDataset(str(archive))
    loader = DataLoader(data, batch_size=8, shuffle=True, collate_fn=as_it_is)
    seen = [i for batch in loader for i in batch.index.tolist()]
    assert sorted(seen) == list(range(len(data)))


def test_indices_need_a_batch_size(archive: Path) -> None:
    with pytest.raises(ValueError, match=r"batch_size must be positive .* got None"):
        iterate_batches(PatchDataset(str(archive)), [0, 1])


def test_stopping_early_leaves_nothing_running(archive: Path) -> None:
    data = PatchDataset(str(archive))
    for _ in iterate_batches(data, np.arange(len(data)), batch_size=1):
        break
    assert len(data.__getitems__([0])) == 1


def test_batches_move_between_devices(archive: Path) -> None:
    batch = PatchDataset(str(archive))[0].to("cpu")
    assert batch.labels is not None
    assert batch.pixels.device.type == "cpu"
