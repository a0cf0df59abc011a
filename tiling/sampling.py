"""Slide-aware sampling: which patches, in which order, as pure index arithmetic.

A sampler is a function of arrays and a generator; it returns indices into the patches of all
slides, (M,), or whole batches, (B, size). Everything random comes from `Generator.random` and
stable sorts, so one seed gives one order with every release of numpy. Seeds, ranks and resuming:
see `tiling.epochs`.

Slides are given patch by patch, `slides` (N,): any integers. Their numbering must not change
between runs (sort by slide_id); the position in `slides` is the patch's index.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tiling.epochs import Indices


def shuffled(count: int, rng: np.random.Generator) -> Indices:
    """Return 0 to count - 1 in random order, each once, (count,)."""
    return np.argsort(rng.random(count), kind="stable").astype(np.int64)


def balanced(slides: ArrayLike, rng: np.random.Generator, total: int | None = None) -> Indices:
    """Draw every slide equally often, however many patches it has, (total,).

    Each of S slides gives total // S patches, `total % S` slides chosen at random one more. Within
    a slide all patches come once before any comes again, so their counts differ by one at most.
    The order is shuffled as a whole.

    Args:
        slides: slide of each patch, (N,).
        rng: of the epoch.
        total: indices to draw, N by default.
    """
    groups = _Groups.of(slides, rng)
    wanted = len(groups.members) if total is None else total
    count = len(groups.sizes)
    if count == 0:
        return np.zeros(0, np.int64)
    quota = np.full(count, wanted // count)
    quota[shuffled(count, rng)[: wanted % count]] += 1
    group = np.repeat(np.arange(count), quota)
    nth = _counters(quota) % groups.sizes[group]
    drawn = groups.members[groups.starts[group] + nth]
    return drawn[shuffled(len(drawn), rng)]


def k_per_slide(
    slides: ArrayLike, rng: np.random.Generator, *, per_slide: int, slides_per_batch: int
) -> Indices:
    """Draw batches of k = `per_slide` patches from m = `slides_per_batch` slides, (B, m * k).

    A slide's shuffled patches are cut into groups of k; what is left, fewer than k, sits out this
    epoch. B is the largest number of batches in which no slide need come twice: the sum over slides
    of min(groups, B) is at least B * m. Groups beyond B * m, chosen at random, sit out. No patch
    comes twice in an epoch. In a batch the patches of a slide are neighbours.

    Groups are dealt to the batches in turn, slide after slide (McNaughton's wrap-around rule): a
    slide has at most B groups, so no two of them meet.
    """
    if per_slide < 1 or slides_per_batch < 1:
        raise ValueError(
            f"per_slide and slides_per_batch must be positive, got {per_slide}, {slides_per_batch}"
        )
    groups = _Groups.of(slides, rng)
    per_group = groups.sizes // per_slide
    batches = _most_batches(per_group, slides_per_batch)
    usable = np.minimum(per_group, batches)
    slide = np.repeat(np.arange(len(usable)), usable)
    first = groups.starts[slide] + _counters(usable) * per_slide
    needed = batches * slides_per_batch
    kept = np.sort(shuffled(len(first), rng)[:needed])  # still slide after slide
    dealt = first[kept].reshape(slides_per_batch, batches).T  # the j-th group in batch j mod B
    order = np.argsort(rng.random(dealt.shape), axis=1, kind="stable")
    dealt = np.take_along_axis(dealt, order, axis=1)[shuffled(batches, rng)]
    members = dealt[:, :, None] + np.arange(per_slide)
    drawn: Indices = groups.members[members.reshape(batches, slides_per_batch * per_slide)]
    return drawn


def one_slide_batches(slides: ArrayLike, rng: np.random.Generator, *, batch_size: int) -> Indices:
    """Draw batches of one slide each, in random order, (B, batch_size).

    Every full batch of every slide; what is left of a slide, less than a batch, sits out.
    """
    return k_per_slide(slides, rng, per_slide=batch_size, slides_per_batch=1)


def weighted(
    weights: ArrayLike, rng: np.random.Generator, total: int, *, replace: bool = True
) -> Indices:
    """Draw patches with probability proportional to their weight, (total,).

    Args:
        weights: of each patch, not negative, (N,).
        rng: of the epoch.
        total: indices to draw.
        replace: draw independently; without, each patch comes once at most (Efraimidis and
            Spirakis 2006, A-ES: largest log(u) / w first), in the order drawn.
    """
    weight = np.asarray(weights, np.float64)
    if not np.isfinite(weight).all() or (weight < 0).any() or not weight.any():
        raise ValueError("weights must be finite, not negative, and not all zero")
    if replace:
        edges = weight.cumsum()
        drawn = np.searchsorted(edges, rng.random(total) * edges[-1], side="right")
        return np.asarray(np.minimum(drawn, np.flatnonzero(weight)[-1]), np.int64)
    possible = np.flatnonzero(weight)
    if total > len(possible):
        raise ValueError(f"cannot draw {total} of {len(possible)} patches without replacement")
    keys = np.log1p(-rng.random(len(possible))) / weight[possible]
    return possible[np.argsort(-keys, kind="stable")[:total]].astype(np.int64)


def class_weights(labels: ArrayLike) -> NDArray[np.float64]:
    """Return weights that make every class as likely as any other, (N,); they sum to 1."""
    _, inverse, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (counts[inverse] * len(counts)), np.float64)


class _Groups(NamedTuple):
    """Patches ordered by slide, shuffled within each."""

    members: Indices
    """Indices of patches, (N,)."""
    starts: Indices
    """First position in `members` of each slide, (S,)."""
    sizes: Indices
    """Patches of each slide, (S,)."""

    @classmethod
    def of(cls, slides: ArrayLike, rng: np.random.Generator) -> "_Groups":
        names, slide = np.unique(np.asarray(slides), return_inverse=True)
        place = np.argsort(rng.random(len(names)), kind="stable")[
            slide
        ]  # slides in random order too
        members = np.lexsort((rng.random(len(slide)), place)).astype(np.int64)
        sizes = np.bincount(place, minlength=len(names)).astype(np.int64)
        return cls(members, sizes.cumsum() - sizes, sizes)


def _counters(lengths: Indices) -> Indices:
    """Return 0 .. n-1 for each length n, one after the other."""
    return np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)


def _most_batches(per_group: Indices, slides_per_batch: int) -> int:
    """Return the largest B with sum(min(groups, B)) >= B * slides_per_batch, by bisection."""
    low, high = 0, int(per_group.sum()) // slides_per_batch
    while low < high:
        middle = (low + high + 1) // 2
        if np.minimum(per_group, middle).sum() >= middle * slides_per_batch:
            low = middle
        else:
            high = middle - 1
    return low
