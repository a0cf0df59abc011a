from typing import Any

import pytest
import torch

from tests.models.ssl.ranks_work import CASES, steps, work
from tests.models.two_ranks import in_two_ranks


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return in_two_ranks(work, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_the_loss_and_gradients_of_one(
    name: str, ranks: list[dict[str, Any]]
) -> None:
    alone = steps(name)
    for step, expected in enumerate(alone["losses"]):
        found = torch.stack([rank[name]["losses"][step] for rank in ranks]).mean()
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    for parameter, expected in alone["gradients"].items():
        for rank in ranks:
            found = rank[name]["gradients"][parameter]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6, msg=parameter)
    assert any(gradient.any() for gradient in alone["gradients"].values())


def test_each_process_sees_other_patches(ranks: list[dict[str, Any]]) -> None:
    for name in CASES:
        first, second = (rank[name]["losses"][0] for rank in ranks)
        assert abs(first - second) > 1e-4, name
