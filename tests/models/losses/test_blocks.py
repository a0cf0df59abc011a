import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from models.losses.blocks import BYTES_PER_LOGIT, by_blocks, rows_per_block
from models.losses.contrast import contrast
from models.losses.ntxent import nt_xent


class Memory(TorchDispatchMode):
    """Counts the bytes of tensors that operators made and that are still held."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.peak = self.largest = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, tuple | list) else [found]:
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return found

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place, size = storage._cdata, storage.nbytes()
        if place in self._known:
            return
        self._known.add(place)
        self.held += size
        self.peak, self.largest = max(self.peak, self.held), max(self.largest, size)
        weakref.finalize(storage, self._drop, place, size)

    def _drop(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.held -= size


def _rows(count: int, dim: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, dim, generator=generator), dim=1)


def _plain(queries: Tensor, keys: Tensor, block: int | None) -> Tensor:
    own = torch.arange(len(queries))[:, None]
    return contrast(queries, keys, own, temperature=0.2, block=block).loss.mean()


def _with_removed(queries: Tensor, keys: Tensor, block: int | None) -> Tensor:
    own = torch.arange(len(queries))
    column = torch.arange(len(keys))
    return contrast(
        queries,
        keys,
        torch.stack([own, (own + 1) % len(keys), torch.full_like(own, -1)], dim=1),
        temperature=0.2,
        removed=lambda rows: column % 7 == (own[rows, None] + 3) % 7,
        block=block,
    ).loss.mean()


def _simclr(queries: Tensor, keys: Tensor, block: int | None) -> Tensor:
    count = len(queries) // 2
    first, second = queries[:count], queries[count:]
    return nt_xent(first, second, first, second, temperature=0.2, block=block) + 0 * keys.sum()


LOSSES = {"plain": _plain, "removed": _with_removed, "ntxent": _simclr}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_blocks_change_neither_the_loss_nor_its_gradient(name: str, block: int) -> None:
    queries, keys = _rows(50, 8, 0).requires_grad_(), _rows(64, 8, 1).requires_grad_()
    expected = LOSSES[name](queries, keys, 10_000)
    gradients = torch.autograd.grad(expected, (queries, keys))
    found = LOSSES[name](queries, keys, block)
    torch.testing.assert_close(found, expected)
    for mine, other in zip(torch.autograd.grad(found, (queries, keys)), gradients, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("name", LOSSES)
def test_never_more_than_a_block_of_logits_is_held(name: str) -> None:
    queries, keys = _rows(512, 4, 0).requires_grad_(), _rows(512, 4, 1).requires_grad_()
    found = {}
    for block in (8, 512):
        with Memory() as memory:
            LOSSES[name](queries, keys, block).backward()
        found[block] = memory
    logits = 8 * 512
    assert found[8].largest <= 4 * logits  # float32; the whole has 64 times that
    assert found[512].largest == 4 * 512 * 512
    rest = 64 * 512 * 4  # vectors, indices and gradients, which do not grow with the keys
    assert found[8].peak <= BYTES_PER_LOGIT * logits + rest
    assert found[512].peak <= BYTES_PER_LOGIT * 512 * 512 + rest


def test_as_many_rows_are_taken_as_fit_into_the_budget() -> None:
    assert rows_per_block(1000, budget_bytes=BYTES_PER_LOGIT * 3999) == 3
    assert rows_per_block(10**12) == 1
    asked: list[slice] = []

    def compute(rows: slice) -> tuple[Tensor]:
        asked.append(rows)
        return (torch.arange(5)[rows] * 2,)

    (found,) = by_blocks(compute, 5, 10**12, None)
    assert found.tolist() == [0, 2, 4, 6, 8]
    assert asked == [slice(i, i + 1) for i in range(5)]
    by_blocks(compute, 5, 10, None)
    assert asked[5:] == [slice(0, 5)]


def test_a_block_of_no_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="block must be positive, got 0"):
        by_blocks(lambda rows: (torch.zeros(rows.stop),), 5, 10, 0)
