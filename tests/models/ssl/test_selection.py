import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.ssl.keys import NOBODY, Keys, Queries, Rows
from models.ssl.selection import NONE, describe, select
from models.ssl.settings import Pool
from tests.models.losses.loops import dot

POOLS: list[Pool] = ["any", "same_slide", "other_slides"]


def _made(
    count: int = 6, queued: int = 4, seed: int = 0, *, coarse: bool = False
) -> tuple[Queries, Keys]:
    """Queries 2 to 4 of a batch of `count`, and its keys with a queue behind them."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count + queued + 3, 3, generator=generator)
    # coarse ones are whole numbers, whose products are exact, so that there are ties
    vectors = vectors.round() if coarse else normalize(vectors, dim=1)
    slide = torch.tensor([*(i % 2 for i in range(count)), *(i % 3 for i in range(queued))])
    patch = torch.tensor([*range(count), *[3, NOBODY, 50, 51][:queued]])
    own = torch.tensor([2, 3, 4])
    queries = Queries(Rows(vectors[-3:], slide[own], patch[own]), own)
    return queries, Keys(Rows(vectors[: count + queued], slide, patch), count)


def _loop(queries: Queries, keys: Keys, count: int, pool: str, least: float) -> list[list[int]]:
    """R_S(i; C): rank all candidates of each query by cosine, ties to the lower index."""
    found = []
    for vector, slide, patch, own in zip(
        queries.rows.vectors.tolist(),
        queries.rows.slide.tolist(),
        queries.rows.patch.tolist(),
        queries.own.tolist(),
        strict=True,
    ):
        ranked = []
        for j, key in enumerate(keys.rows.vectors.tolist()):
            queued = j >= keys.fresh
            theirs = keys.rows.patch[j].item()
            alike = keys.rows.slide[j].item() == slide
            if j == own or (queued and theirs in (patch, NOBODY)):
                continue
            if pool == "any" or alike == (pool == "same_slide"):
                ranked.append((-round(dot(vector, key), 5), j))
        chosen = [j for cosine, j in sorted(ranked)[:count] if -cosine >= least]
        found.append(chosen)
    return found


def _lists(chosen: Tensor) -> list[list[int]]:
    return [[j for j in row if j != NONE] for row in chosen.tolist()]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("count", [0, 1, 3, 30])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_the_ranking_of_the_paper(pool: Pool, count: int, seed: int) -> None:
    queries, keys = _made(seed=seed)
    found = select(queries, keys, count, pool=pool)
    assert found.chosen.shape == (3, count)
    assert _lists(found.chosen) == _loop(queries, keys, count, pool, -2)


@pytest.mark.parametrize("threshold", [-0.3, 0.2, 0.6])
def test_a_threshold_takes_what_is_similar_enough_up_to_s(threshold: float) -> None:
    queries, keys = _made(count=20)
    found = select(queries, keys, 4, threshold=threshold)
    expected = _loop(queries, keys, 4, "any", threshold)
    assert _lists(found.chosen) == expected
    assert len({len(row) for row in expected}) > 1 or threshold < 0


def test_a_threshold_above_1_takes_none_and_from_minus_1_on_all() -> None:
    vectors = torch.full((6, 3), 3**-0.5)
    vectors = torch.cat([vectors * (1 + 1e-6), -vectors * (1 + 1e-6)])  # rounded beyond 1 and -1
    rows = Rows(vectors, torch.zeros(12, dtype=torch.int64), torch.arange(12))
    queries, keys = Queries(rows, torch.arange(12)), Keys(rows, 12)
    cosines = vectors @ vectors.T
    assert cosines.max() > 1 + 1e-7
    assert cosines.min() < -1 - 1e-7
    assert (select(queries, keys, 9, threshold=1 + 1e-7).chosen == NONE).all()
    assert (select(queries, keys, 9, threshold=-1.0).chosen != NONE).all()


def test_ties_go_to_the_lower_index() -> None:
    rows = Rows(torch.eye(4)[[0] * 40], torch.zeros(40, dtype=torch.int64), torch.arange(40))
    found = select(Queries(rows, torch.arange(40)), Keys(rows, 40), 3).chosen
    assert found[0].tolist() == [1, 2, 3]
    assert found[1].tolist() == [0, 2, 3]
    assert (found[3:] == torch.tensor([0, 1, 2])).all()
    for seed in range(5):
        queries, keys = _made(count=30, seed=seed, coarse=True)
        assert _lists(select(queries, keys, 6).chosen) == _loop(queries, keys, 6, "any", -2)


def test_the_own_key_is_never_taken_and_no_gradient_is_carried() -> None:
    vectors = normalize(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    rows = Rows(vectors.requires_grad_(), torch.zeros(8, dtype=torch.int64), torch.arange(8))
    queries = Queries(rows, torch.arange(8))  # so the own key is the most similar
    found = select(queries, Keys(rows, 8), 7)
    assert not (found.chosen == queries.own[:, None]).any()
    assert not found.cosine.requires_grad


def test_pools_are_respected_on_a_batch_made_by_hand() -> None:
    vectors = normalize(torch.tensor([[1.0, 0.0], [1, 0.1], [1, 0.2], [1, 0.3], [1, 0.4]]), dim=1)
    slide = torch.tensor([7, 8, 7, 8, 7])
    rows = Rows(vectors, slide, torch.arange(5))
    queries = Queries(Rows(vectors[:1], slide[:1], torch.tensor([0])), torch.tensor([0]))
    expected: dict[Pool, list[int]] = {
        "any": [1, 2, 3],
        "same_slide": [2, 4, NONE],
        "other_slides": [1, 3, NONE],
    }
    for pool, chosen in expected.items():
        assert select(queries, Keys(rows, 5), 3, pool=pool).chosen.tolist() == [chosen]


def test_blocks_change_nothing() -> None:
    queries, keys = _made(count=30, seed=3, coarse=True)
    whole = select(queries, keys, 5, pool="other_slides", threshold=0.1)
    for block in (1, 2):
        found = select(queries, keys, 5, pool="other_slides", threshold=0.1, block=block)
        assert torch.equal(found.chosen, whole.chosen)
        assert torch.equal(found.cosine, whole.cosine)


def test_metrics_are_counted_by_hand() -> None:
    vectors = normalize(torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]]), dim=1)
    rows = Rows(vectors, torch.tensor([1, 1, 2, 2]), torch.arange(4))
    queries, keys = Queries(rows, torch.arange(4)), Keys(rows, 4)
    found = select(queries, keys, 2, threshold=0.7)
    # 0: key 1 (.8). 1: keys 2 (.96), 0 (.8). 2: keys 1 (.96), 3 (.8). 3: key 2 (.8)
    assert _lists(found.chosen) == [[1], [2, 0], [1, 3], [2]]
    told = describe(found, queries, keys)
    assert told["selected"].item() == pytest.approx(6 / 4)
    assert told["selected_cosine"].item() == pytest.approx((4 * 0.8 + 2 * 0.96) / 6)
    assert told["selected_same_slide"].item() == pytest.approx(4 / 6)
    nothing = describe(select(queries, keys, 0), queries, keys)
    assert [value.item() for value in nothing.values()] == [0, 0, 0]
