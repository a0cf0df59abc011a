"""The door: a preset by its name, with what a person may change about it."""

from collections.abc import Sequence
from dataclasses import replace

from models.augment.preset import Preset
from models.augment.table import PRESETS
from models.augment.view import Recipe, View
from models.errors import PresetError

LARGEST_HUE = 0.5
"""Shift of the hue, in turns: a larger one would come around."""


def open_preset(  # noqa: PLR0913 - a door: all but the name by keyword
    name: str,
    *,
    side_px: int,
    mean: Sequence[float],
    std: Sequence[float],
    d4: bool,
    crop_min: float | None = None,
    strength: float | None = None,
    stain: float = 0.0,
    local_px: int | None = None,
) -> Preset:
    """Open a preset of METHODS 2.4.

    Args:
        name: one of `PRESETS`.
        side_px: side of the views.
        mean: subtracted from each channel of values in [0, 1].
        std: then divided by.
        d4: also flip up-down and take all quarter turns, as is natural for tissue (our choice).
        crop_min: smallest area of a crop; the preset's own by default.
        strength: what the colour jitter is multiplied with; the preset's own by default.
        stain: strength of the stain jitter, .05 light and .2 strong (Tellez et al. 2019); 0 off.
        local_px: side of local views; half of `side_px` by default, as in METHODS 8.3.

    Raises:
        PresetError: no such preset, or it cannot be changed like this.
    """
    if name not in PRESETS:
        raise PresetError(f"no augmentation preset {name!r}; there are {', '.join(PRESETS)}")
    _check_output(side_px, mean, std)
    if not 0 <= stain < 1:
        raise PresetError(f"stain must be in [0, 1), got {stain}")
    recipe = _with_strength(PRESETS[name], name, strength)
    if recipe.pristine and (d4 or stain):
        raise PresetError(f"the first view of {name} is the patch itself: leave out d4 and stain")
    local_px = max(1, side_px // 2) if local_px is None else local_px
    if local_px < 1:
        raise PresetError(f"local_px must be positive, got {local_px}")
    views = [replace(view, stain=stain) for view in recipe.views]
    if crop_min is not None:
        views = [_with_crop(view, name, crop_min) for view in views]
    if d4:
        views = [_with_d4(view, name, recipe) for view in views]
    recipe = replace(recipe, views=tuple(views))
    return Preset(recipe, side_px, tuple(mean), tuple(std), local_px)


def _check_output(side_px: int, mean: Sequence[float], std: Sequence[float]) -> None:
    if side_px < 1:
        raise PresetError(f"side_px must be positive, got {side_px}")
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise PresetError(f"mean and std need 3 numbers, std positive, got {mean} and {std}")


def _with_strength(recipe: Recipe, name: str, strength: float | None) -> Recipe:
    """Multiply the jitter."""
    if recipe.strength is None:
        if strength is not None:
            raise PresetError(f"{name} has no colour jitter: leave out strength, got {strength}")
        return recipe
    used = recipe.strength if strength is None else strength
    hue = max(view.jitter[3] for view in recipe.views)
    if not 0 <= used <= LARGEST_HUE / hue:
        raise PresetError(f"strength of {name} must be in [0, {LARGEST_HUE / hue:g}], got {used}")
    views = (_times(view, used) for view in recipe.views)
    return replace(recipe, views=tuple(views), strength=used)


def _times(view: View, strength: float) -> View:
    brightness, contrast, saturation, hue = (strength * part for part in view.jitter)
    return replace(view, jitter=(brightness, contrast, saturation, hue))


def _with_crop(view: View, name: str, crop_min: float) -> View:
    if view.crop is None:
        raise PresetError(f"{name} takes whole patches: leave out crop_min, got {crop_min}")
    if not 0 < crop_min <= view.crop[1]:
        raise PresetError(f"crop_min must be in (0, {view.crop[1]:g}], got {crop_min}")
    return replace(view, crop=(crop_min, view.crop[1]))


def _with_d4(view: View, name: str, recipe: Recipe) -> View:
    if recipe.rotations:
        raise PresetError(f"{name} learns from turns: d4 would mix up its labels, leave it off")
    return replace(view, flip=(0.5, 0.5), turns=True)
