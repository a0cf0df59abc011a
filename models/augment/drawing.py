"""Draws parameters; only `Generator.random` is used, so a seed means the same with every numpy."""

from dataclasses import replace

import numpy as np

from models.augment.params import HUE, Bools, Floats, Ints, Params, ViewParams
from models.augment.view import Recipe, View

RATIO = (3 / 4, 4 / 3)
"""Width over height of a crop (torchvision's default, which SimCLR and MoCo v3 use)."""

TRIES = 10
"""Boxes tried before the whole patch is taken (torchvision)."""


def draw(recipe: Recipe, count: int, rng: np.random.Generator) -> Params:
    """Draw what happens to `count` patches in every view."""
    views = [_draw_view(view, count, rng) for view in recipe.views]
    if recipe.rotations:
        first = views[0]
        views = [
            replace(view, crop=first.crop, flip=first.flip, turn=np.full(count, turn))
            for turn, view in enumerate(views)
        ]
    return Params(tuple(views))


def _draw_view(view: View, count: int, rng: np.random.Generator) -> ViewParams:
    return ViewParams(
        crop=_crops(view.crop, count, rng),
        flip=rng.random((count, 2)) < view.flip,
        turn=(rng.random(count) * 4 * view.turns).astype(np.int64),
        # where a law has none, nothing is drawn: other presets keep their streams
        tilt=_uniform(-view.tilt, view.tilt, (count,), rng) if view.tilt else np.zeros(count),
        autocontrast=_if_any(view.autocontrast, count, rng),
        equalized=_if_any(view.equalize, count, rng),
        stain=_stains(view.stain, count, rng),
        jittered=_chosen(view.jitter_share, count, rng),
        factors=_factors(view.jitter, count, rng),
        order=_orders(count, rng),
        grey=_chosen(view.grey, count, rng),
        sigma=_uniform(*view.blur_sigma_px, (count,), rng) * _chosen(view.blur, count, rng),
        solarized=_chosen(view.solarize, count, rng),
    )


def _crops(area: tuple[float, float] | None, count: int, rng: np.random.Generator) -> Floats:
    """Draw boxes as torchvision's RandomResizedCrop does for a square, (count, 4).

    The area is uniform, the logarithm of the ratio too; the first of ten tries that fits is taken,
    else the whole square (torchvision's fallback for one).
    """
    if area is None:
        return np.tile((1.0, 1.0, 0.0, 0.0), (count, 1))
    tries = (count, TRIES)
    areas = _uniform(*area, tries, rng)
    ratios = np.exp(_uniform(np.log(RATIO[0]), np.log(RATIO[1]), tries, rng))
    shares = np.stack([np.sqrt(areas / ratios), np.sqrt(areas * ratios)], axis=2)
    fits = np.all(shares <= 1, axis=2)
    first = shares[np.arange(count), fits.argmax(1)]
    first[~fits.any(1)] = 1.0
    return np.concatenate([first, rng.random((count, 2))], axis=1)


def _stains(strength: float, count: int, rng: np.random.Generator) -> Floats:
    spread = _uniform(-strength, strength, (count, 2, 3), rng)
    return np.asarray(spread + np.array([1.0, 0.0])[:, None])


def _factors(
    strengths: tuple[float, float, float, float], count: int, rng: np.random.Generator
) -> Floats:
    """Draw factors from (max(0, 1 - s), 1 + s), and the hue's shift from (-s, s)."""
    strength = np.array(strengths)
    low, high = np.maximum(1 - strength, 0), 1 + strength
    low[HUE], high[HUE] = -strength[HUE], strength[HUE]
    return np.asarray(low + (high - low) * rng.random((count, 4)))


def _orders(count: int, rng: np.random.Generator) -> Ints:
    return np.argsort(rng.random((count, 4)), axis=1, kind="stable").astype(np.int64)


def _chosen(share: float, count: int, rng: np.random.Generator) -> Bools:
    return rng.random(count) < share


def _if_any(share: float, count: int, rng: np.random.Generator) -> Bools:
    return _chosen(share, count, rng) if share else np.zeros(count, np.bool_)


def _uniform(low: float, high: float, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    return low + (high - low) * rng.random(shape)
