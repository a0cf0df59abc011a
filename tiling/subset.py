"""A share of the data: nested, seeded, by slide or by patch, of every class alike.

METHODS 2.6: 10 % is part of 25 %, which is part of 50 %.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tiling.epochs import Indices


def fraction(
    slides: ArrayLike,
    share: float,
    *,
    seed: int,
    unit: Literal["slide", "patch"] = "slide",
    labels: ArrayLike | None = None,
) -> Indices:
    """Choose a share of the data, sorted indices (M,); a smaller share is part of a larger one.

    Units are put in one random order that depends on the seed alone. Of each class (without labels
    all units are one class) the first `floor(share * n + 0.5)` of its n are taken, at least one.

    Args:
        slides: slide of each patch, (N,).
        share: in (0, 1].
        seed: of the choice.
        unit: what is chosen: whole slides, or patches.
        labels: class of each patch, (N,); a slide is of its most frequent class.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    names, slide = np.unique(np.asarray(slides), return_inverse=True)
    count = len(slide)
    classes = np.zeros(count, np.int64)
    if labels is not None:
        classes = np.unique(np.asarray(labels), return_inverse=True)[1]
    if unit == "patch":
        chosen = _first_of_each_class(classes, share, seed)
    else:
        of_slides = _majority(slide, classes, len(names))
        chosen = _first_of_each_class(of_slides, share, seed)[slide]
    return np.flatnonzero(chosen).astype(np.int64)


def _first_of_each_class(classes: Indices, share: float, seed: int) -> NDArray[np.bool_]:
    """Tell which units are among the first of their class in the seed's random order, (n,)."""
    key = np.random.Generator(np.random.PCG64(seed)).random(len(classes))
    order = np.lexsort((key, classes))
    sizes = np.bincount(classes)
    taken = np.maximum(1, np.floor(share * sizes + 0.5).astype(np.int64))
    chosen = np.zeros(len(classes), np.bool_)
    rank = np.arange(len(order)) - np.repeat(sizes.cumsum() - sizes, sizes)
    chosen[order] = rank < taken[classes[order]]
    return chosen


def _majority(slide: Indices, classes: Indices, slides: int) -> Indices:
    """Return each slide's most frequent class, the lowest of equals, (S,)."""
    count = int(classes.max(initial=0)) + 1
    table = np.bincount(slide * count + classes, minlength=slides * count)
    return np.asarray(table.reshape(slides, count).argmax(axis=1), np.int64)
