from collections import deque

import pytest
import torch
from torch import Tensor

from models.ssl.keys import NOBODY, Keys, Queue, Rows


def _rows(patches: list[int], scale: float = 1.0) -> Rows:
    patch = torch.tensor(patches)
    return Rows(scale * patch[:, None].float().expand(-1, 3), patch // 10, patch)


def _kept(queue: Queue, direction: int) -> list[tuple[float, int, int]]:
    """Entries of a queue in no order, as (vector, slide, patch)."""
    found = zip(
        queue.keys[direction, :, 0].tolist(),
        queue.slide.tolist(),
        queue.patch.tolist(),
        strict=True,
    )
    return sorted(entry for entry in found if entry[2] != NOBODY)


@pytest.mark.parametrize("sizes", [[2, 2, 2, 2, 2], [3, 1, 4, 2, 3], [7, 9, 5, 1]], ids=str)
def test_the_last_keys_stay_and_the_oldest_go(sizes: list[int]) -> None:
    queue, expected, number = Queue(5, 3), deque[int](maxlen=5), 10
    for size in sizes:
        patches = list(range(number, number + size))
        number += size
        queue.push(_rows(patches), _rows(patches, -1.0))
        expected.extend(patches)
        assert _kept(queue, 0) == sorted((float(p), p // 10, p) for p in expected)
        assert _kept(queue, 1) == sorted((-float(p), p // 10, p) for p in expected)


def test_each_direction_has_its_own_keys_behind_those_of_the_step() -> None:
    queue = Queue(4, 3)
    queue.push(_rows([10, 11]), _rows([10, 11], -1.0))
    fresh = _rows([20, 21, 22])
    for direction, sign in ((0, 1.0), (1, -1.0)):
        keys = queue.behind(fresh, direction)
        assert keys.fresh == 3
        assert keys.rows.patch.tolist() == [20, 21, 22, 10, 11, NOBODY, NOBODY]
        assert keys.rows.slide.tolist()[:5] == [2, 2, 2, 1, 1]
        assert keys.rows.vectors[3:5, 0].tolist() == [sign * 10, sign * 11]


def test_a_query_does_not_meet_its_own_patch_in_the_queue_nor_empty_places() -> None:
    queue = Queue(3, 3)
    queue.push(_rows([20, 11]), _rows([20, 11]))
    keys = queue.behind(_rows([20, 21]), 0)
    hidden = keys.hidden(torch.tensor([20, 21]))
    assert hidden is not None
    assert hidden.tolist() == [
        [False, False, True, False, True],  # the key of this step is met
        [False, False, False, False, True],
    ]


def test_without_a_queue_nothing_is_hidden_or_kept() -> None:
    queue, fresh = Queue(0, 3), _rows([20, 21])
    queue.push(fresh, fresh)
    keys = queue.behind(fresh, 0)
    assert isinstance(keys, Keys)
    assert keys.rows is fresh
    assert keys.hidden(fresh.patch) is None


def test_a_queue_is_resumed_from_its_buffers() -> None:
    queue, copy = Queue(3, 3), Queue(3, 3)
    queue.push(_rows([10, 11]), _rows([10, 11]))
    copy.load_state_dict(queue.state_dict())
    following: list[tuple[Tensor, Tensor]] = []
    for one in (queue, copy):
        one.push(_rows([12, 13]), _rows([12, 13]))
        following.append((one.patch.clone(), one.keys.clone()))
    assert torch.equal(following[0][0], following[1][0])
    assert torch.equal(following[0][1], following[1][1])
    assert sorted(following[0][0].tolist()) == [11, 12, 13]
