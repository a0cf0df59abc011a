"""Samplers, epochs and shares of data: their contracts as properties, and slow twins."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiling import sampling
from tiling.epochs import epoch_generator, epoch_order, locate, rank_slice
from tiling.subset import fraction

SLIDES = st.lists(st.integers(0, 6), max_size=60)
SEEDS = st.integers(0, 2**32 - 1)


def rng(seed: int = 0) -> np.random.Generator:
    return epoch_generator(seed, 0)


@given(st.integers(0, 50), SEEDS)
def test_a_shuffle_is_a_permutation(count: int, seed: int) -> None:
    assert sorted(sampling.shuffled(count, rng(seed)).tolist()) == list(range(count))


def test_one_seed_gives_one_order_for_ever() -> None:
    assert sampling.shuffled(8, epoch_generator(1, 2)).tolist() == [5, 6, 3, 2, 1, 0, 4, 7]
    slides = [0, 0, 0, 1, 1, 2]
    assert sampling.balanced(slides, epoch_generator(1, 2)).tolist() == [4, 3, 5, 2, 5, 0]


@given(SLIDES, SEEDS, st.one_of(st.none(), st.integers(0, 100)))
def test_balanced_draws_slides_and_their_patches_equally_often(
    slides: list[int], seed: int, total: int | None
) -> None:
    drawn = sampling.balanced(slides, rng(seed), total).tolist()
    assert len(drawn) == (0 if not slides else len(slides) if total is None else total)
    per_slide = Counter(dict.fromkeys(slides, 0))
    per_slide.update(slides[i] for i in drawn)
    assert not per_slide or max(per_slide.values()) - min(per_slide.values()) <= 1
    per_patch = Counter(drawn)
    for slide in set(slides):
        counts = [per_patch[i] for i, s in enumerate(slides) if s == slide]
        assert max(counts) - min(counts) <= 1


def slow_most_batches(per_group: list[int], size: int) -> int:
    """Make batches from the slides with most groups left, until they are too few (optimal)."""
    left, batches = sorted(per_group), 0
    while len(left) >= size and left[-size] > 0:
        for i in range(1, size + 1):
            left[-i] -= 1
        left.sort()
        batches += 1
    return batches


@given(SLIDES, SEEDS, st.integers(1, 4), st.integers(1, 4))
def test_k_per_slide_keeps_its_promises(slides: list[int], seed: int, k: int, m: int) -> None:
    batches = sampling.k_per_slide(slides, rng(seed), per_slide=k, slides_per_batch=m)
    groups = [count // k for count in Counter(slides).values()]
    assert batches.shape == (slow_most_batches(groups, m), m * k)
    assert len(set(batches.ravel().tolist())) == batches.size
    for batch in batches.tolist():
        parts = [[slides[i] for i in batch[n : n + k]] for n in range(0, m * k, k)]
        assert all(len(set(part)) == 1 for part in parts)
        assert len({part[0] for part in parts}) == m


@given(SLIDES, SEEDS, st.integers(1, 5))
def test_one_slide_batches_are_all_full_batches(slides: list[int], seed: int, size: int) -> None:
    batches = sampling.one_slide_batches(slides, rng(seed), batch_size=size)
    assert len(batches) == sum(count // size for count in Counter(slides).values())
    assert all(len({slides[i] for i in batch}) == 1 for batch in batches.tolist())
    assert len(set(batches.ravel().tolist())) == batches.size


@pytest.mark.parametrize(("k", "m"), [(0, 1), (1, 0)])
def test_batches_of_nothing_are_refused(k: int, m: int) -> None:
    with pytest.raises(ValueError, match="must be positive, got"):
        sampling.k_per_slide([0], rng(), per_slide=k, slides_per_batch=m)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), SEEDS)
def test_weighted_draws_agree_with_a_walk_over_the_weights(weights: list[float], seed: int) -> None:
    if sum(weights) < 1e-3:
        return
    drawn = sampling.weighted(weights, rng(seed), 20)
    edges = np.cumsum(weights)
    for u, index in zip(rng(seed).random(20), drawn.tolist(), strict=True):
        assert weights[index] > 0
        slow = next(i for i, edge in enumerate(edges) if edge > u * edges[-1])
        assert index == slow


def test_weights_set_the_odds() -> None:
    drawn = sampling.weighted([1, 0, 3], rng(), 40_000)
    assert np.bincount(drawn, minlength=3) / 40_000 == pytest.approx([0.25, 0, 0.75], abs=0.01)
    firsts = [
        sampling.weighted([1, 0, 3], epoch_generator(0, e), 2, replace=False)[0]
        for e in range(2000)
    ]
    assert firsts.count(2) / 2000 == pytest.approx(0.75, abs=0.04)


@given(SEEDS)
def test_without_replacement_each_patch_comes_once(seed: int) -> None:
    drawn = sampling.weighted([1, 0, 5, 2], rng(seed), 3, replace=False)
    assert sorted(drawn.tolist()) == [0, 2, 3]


@pytest.mark.parametrize("weights", [[0.0, 0.0], [-1.0, 2.0], [math.nan, 1.0], [math.inf, 1.0]])
def test_absurd_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights must be finite, not negative, and not all zero"):
        sampling.weighted(weights, rng(), 1)


def test_more_than_there_are_cannot_be_drawn_without_replacement() -> None:
    with pytest.raises(ValueError, match="cannot draw 3 of 2 patches"):
        sampling.weighted([1, 0, 1], rng(), 3, replace=False)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_class_weights_make_classes_equal(labels: list[int]) -> None:
    weights = sampling.class_weights(labels)
    of_class = [weights[np.array(labels) == c].sum() for c in set(labels)]
    assert of_class == pytest.approx([1 / len(of_class)] * len(of_class))


@given(st.integers(0, 60), st.integers(1, 5), SEEDS, st.integers(0, 3))
def test_ranks_are_disjoint_equal_and_resumable(
    count: int, world: int, seed: int, epoch: int
) -> None:
    def order(rank: int, consumed: int = 0) -> list[int]:
        drawn = epoch_order(
            lambda r: sampling.shuffled(count, r),
            seed=seed,
            epoch=epoch,
            rank=rank,
            world_size=world,
            consumed=consumed,
        )
        return list(drawn.tolist())

    ranks = [order(rank) for rank in range(world)]
    assert {len(part) for part in ranks} == {count // world}
    assert len({i for part in ranks for i in part}) == count // world * world
    for done in range(count // world + 1):
        assert order(world - 1, done * world) == ranks[world - 1][done:]


def test_a_run_resumes_with_another_number_of_ranks() -> None:
    whole = sampling.shuffled(12, epoch_generator(7, 0)).tolist()
    parts = [
        epoch_order(
            lambda r: sampling.shuffled(12, r),
            seed=7,
            epoch=0,
            rank=rank,
            world_size=3,
            consumed=6,
        ).tolist()
        for rank in range(3)
    ]
    assert sorted(parts[0] + parts[1] + parts[2]) == sorted(whole[6:])


def test_batches_are_dealt_to_ranks_whole() -> None:
    batches = np.arange(15).reshape(5, 3)
    assert rank_slice(batches, 1, 2).tolist() == [[3, 4, 5], [9, 10, 11]]


def test_epochs_and_seeds_differ() -> None:
    orders = [sampling.shuffled(50, epoch_generator(s, e)).tolist() for s in (0, 1) for e in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


@pytest.mark.parametrize(("rank", "world"), [(-1, 2), (2, 2), (0, 0)])
def test_ranks_outside_the_world_are_refused(rank: int, world: int) -> None:
    with pytest.raises(ValueError, match="rank must be from 0 to world_size - 1"):
        rank_slice(np.arange(4), rank, world)


@pytest.mark.parametrize("consumed", [-1, 5])
def test_more_than_an_epoch_cannot_be_consumed(consumed: int) -> None:
    with pytest.raises(ValueError, match=f"consumed must be from 0 to 4, got {consumed}"):
        epoch_order(lambda r: sampling.shuffled(4, r), seed=0, epoch=0, consumed=consumed)


def test_positions_are_located() -> None:
    assert locate(25, 10) == (2, 5)
    with pytest.raises(ValueError, match="need at least 1 item per epoch"):
        locate(5, 0)


@settings(max_examples=60)
@given(
    patches=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2)), min_size=1, max_size=60),
    shares=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    seed=SEEDS,
    unit=st.sampled_from(["slide", "patch"]),
    labelled=st.booleans(),
)
def test_fractions_are_nested_stratified_and_of_exact_size(
    patches: list[tuple[int, int]],
    shares: tuple[float, float],
    seed: int,
    unit: str,
    labelled: bool,
) -> None:
    slides = [slide for slide, _ in patches]
    labels = [label for _, label in patches] if labelled else None
    low, high = sorted(shares)
    choose = [
        fraction(slides, share, seed=seed, unit=unit, labels=labels)  # type: ignore[arg-type]
        for share in (low, high, 1.0)
    ]
    assert set(choose[0].tolist()) <= set(choose[1].tolist()) <= set(choose[2].tolist())
    assert choose[2].tolist() == list(range(len(patches)))
    of_unit = slow_units(patches, unit, labelled)
    chosen = {slides[i] if unit == "slide" else i for i in choose[0].tolist()}
    for label in set(of_unit.values()):
        units = [u for u, c in of_unit.items() if c == label]
        assert len(chosen & set(units)) == max(1, math.floor(low * len(units) + 0.5))
    if unit == "slide":
        assert choose[0].tolist() == [i for i, s in enumerate(slides) if s in chosen]


def slow_units(patches: list[tuple[int, int]], unit: str, labelled: bool) -> dict[int, int]:
    """Return the class of each unit: a slide's most frequent label, the lowest of equals."""
    if not labelled:
        patches = [(slide, 0) for slide, _ in patches]
    if unit == "patch":
        return {i: label for i, (_, label) in enumerate(patches)}
    units = {}
    for slide in {s for s, _ in patches}:
        counts = Counter(label for s, label in patches if s == slide)
        units[slide] = min(counts, key=lambda label: (-counts[label], label))
    return units


@pytest.mark.parametrize(("share", "size"), [(0.05, 462), (0.25, 2310), (0.5, 4620), (1.0, 9240)])
def test_fractions_have_the_published_sizes(share: float, size: int) -> None:
    labels = np.repeat([0, 1, 2], 3080)
    chosen = fraction(np.arange(9240) % 21, share, seed=0, unit="patch", labels=labels)
    assert len(chosen) == size
    assert np.bincount(labels[chosen]).tolist() == [size // 3] * 3


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, math.nan])
def test_a_share_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share must be above 0 and at most 1"):
        fraction([0], share, seed=0)
