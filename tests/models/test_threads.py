"""Small works side by side against a plain loop."""

from collections.abc import Iterator

import pytest
import torch

from models.threads import side_by_side

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def square(number: int) -> tuple[int, int]:
    return number * number, torch.get_num_threads()


def test_results_come_in_order_each_from_one_thread() -> None:
    assert list(side_by_side(square, range(20), CPU)) == [(n * n, 1) for n in range(20)]
    assert torch.get_num_threads() == 2


def test_one_work_alone_has_all_threads() -> None:
    assert list(side_by_side(square, [3], CPU)) == [(9, 2)]


def test_an_error_passes_and_the_threads_are_as_before() -> None:
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda number: 1 // number, [2, 1, 0], CPU))
    assert torch.get_num_threads() == 2
