from typing import Any

import pytest

import models.augment
from models.augment import PRESETS, Preset, open_preset
from models.errors import PresetError
from tests.models.augment.twin import MEAN, STD


def opened(name: str, **changes: Any) -> Preset:
    return open_preset(name, **{"side_px": 32, "mean": MEAN, "std": STD, "d4": False} | changes)


def test_the_door_is_exact() -> None:
    assert models.augment.__all__ == ["PRESETS", "Params", "Preset", "ViewParams", "open_preset"]
    assert all(hasattr(models.augment, name) for name in models.augment.__all__)


def test_presets_have_the_views_of_their_methods() -> None:
    views = {name: opened(name).views for name in PRESETS}
    assert views == {
        "moco-v3": 2,
        "simclr": 2,
        "rotation": 4,
        "rotation-jitter": 4,
        "supervised": 1,
        "wsss-cls": 1,
        "wsss-seg": 1,
        "distl": 10,
    }


def test_strengths_are_those_of_the_methods_unless_told() -> None:
    def jitters(name: str, **changes: Any) -> list[tuple[float, ...]]:
        return [view.jitter for view in opened(name, **changes).recipe.views]

    assert jitters("simclr") == [(0.8, 0.8, 0.8, 0.2)] * 2
    assert jitters("simclr", strength=0.5) == [(0.4, 0.4, 0.4, 0.1)] * 2
    assert jitters("moco-v3") == [(0.4, 0.4, 0.2, 0.1)] * 2
    assert jitters("rotation-jitter") == [(0.4, 0.4, 0.4, 0.1)] * 4
    assert jitters("rotation-jitter", strength=1.0) == [(0.8, 0.8, 0.8, 0.2)] * 4


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("byol", {}, "no augmentation preset 'byol'; there are moco-v3, simclr"),
        ("simclr", {"side_px": 0}, "side_px must be positive, got 0"),
        ("simclr", {"mean": (0.5,)}, "mean and std need 3 numbers"),
        ("simclr", {"std": (0.2, 0.0, 0.2)}, "mean and std need 3 numbers, std positive"),
        ("simclr", {"crop_min": 0.0}, r"crop_min must be in \(0, 1\], got 0.0"),
        ("simclr", {"crop_min": 1.5}, r"crop_min must be in \(0, 1\], got 1.5"),
        ("supervised", {"crop_min": 0.5}, "supervised takes whole patches"),
        ("simclr", {"strength": -0.1}, r"strength of simclr must be in \[0, 2.5\], got -0.1"),
        ("moco-v3", {"strength": 6.0}, r"strength of moco-v3 must be in \[0, 5\], got 6.0"),
        ("rotation", {"strength": 0.5}, "rotation has no colour jitter"),
        ("rotation", {"d4": True}, "rotation learns from turns"),
        ("rotation-jitter", {"d4": True}, "rotation-jitter learns from turns"),
        ("distl", {"d4": True}, "first view of distl is the patch itself"),
        ("distl", {"stain": 0.1}, "first view of distl is the patch itself"),
        ("distl", {"crop_min": 0.5}, "distl takes whole patches"),
        ("distl", {"local_px": 0}, "local_px must be positive, got 0"),
        ("simclr", {"stain": -0.1}, r"stain must be in \[0, 1\), got -0.1"),
    ],
)
def test_what_a_preset_cannot_be_is_refused(
    name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(PresetError, match=message):
        opened(name, **changes)
