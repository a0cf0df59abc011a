from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models import dist
from tests.models.dist_work import work
from tests.models.two_ranks import in_two_ranks


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    return in_two_ranks(work, folder)


def _rows(rank: int) -> torch.Tensor:
    return torch.arange(6.0).reshape(3, 2) + 10 * rank


def test_every_process_knows_its_place(found: list[dict[str, Any]]) -> None:
    assert [(one["rank"], one["world_size"]) for one in found] == [(0, 2), (1, 2)]


def test_rows_are_joined_rank_after_rank(found: list[dict[str, Any]]) -> None:
    expected = torch.cat([_rows(0), _rows(1)])
    for one in found:
        assert torch.equal(one["gathered"], expected)
        assert torch.equal(one["joined"], expected)
        assert torch.equal(one["transposed"], torch.cat([_rows(0).T, _rows(1).T]))
        assert one["whole_numbers"].tolist() == [0, 2**60, 1, 2**60 + 1]
        assert one["scalar_rows"].tolist() == [False, True]
        assert not one["wants_gradient"]


def test_gradients_of_all_ranks_come_back_to_a_row(found: list[dict[str, Any]]) -> None:
    weights = torch.arange(12.0).reshape(6, 2)
    expected = weights * 1 + weights * 2  # of the loss of rank 0, and of rank 1
    assert torch.equal(found[0]["gradient"], expected[:3])
    assert torch.equal(found[1]["gradient"], expected[3:])


def test_batch_norms_are_shared_on_gpus_only(found: list[dict[str, Any]]) -> None:
    for one in found:
        assert one["kinds"] == ["Linear", "SyncBatchNorm"]
        assert one["activated"]  # PyTorch's conversion would drop the activation
        assert one["same_weight"]
        assert one["on_cpu"]


def test_outside_a_group_a_process_is_alone() -> None:
    given = torch.ones(2, 3, requires_grad=True)
    assert (dist.rank(), dist.world_size(), dist.is_distributed()) == (0, 1, False)
    assert dist.gather_with_grad(given) is given
    assert torch.equal(dist.gather(given), given)
    assert not dist.gather(given).requires_grad
    net = nn.BatchNorm1d(3)
    assert dist.synchronize_batchnorm(net, torch.device("cuda")) is net
