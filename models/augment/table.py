"""The presets by name (METHODS 2.4)."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from models.augment.view import Recipe, View

CROP = (0.08, 1.0)
"""Areas of SimCLR and MoCo v3 (source); for the rotations, whose areas are unknown, our choice."""

LEFT_RIGHT = (0.0, 0.5)

_MOCO = View(
    crop=CROP,
    flip=LEFT_RIGHT,
    jitter=(0.4, 0.4, 0.2, 0.1),
    jitter_share=0.8,
    grey=0.2,
    blur=1.0,
    blur_reach="four-sigma",
)
_MOCO_SECOND = replace(_MOCO, blur=0.1, solarize=0.2)
_SIMCLR = View(
    crop=CROP,
    flip=LEFT_RIGHT,
    jitter=(0.8, 0.8, 0.8, 0.2),
    jitter_share=0.8,
    grey=0.2,
    blur=0.5,
)
_ROTATION = View(crop=CROP, flip=LEFT_RIGHT)
_ROTATION_JITTER = replace(_ROTATION, jitter=_SIMCLR.jitter, jitter_share=_SIMCLR.jitter_share)

_WSSS_SEG = View(flip=LEFT_RIGHT, blur=0.5, blur_sigma_px=(0.0, 1.0), blur_reach="four-sigma")
"""Left-right and a blur of PIL, whose radius is sigma (METHODS 10.5, source)."""

_DISTL = View(
    cubic=True,
    crop=(0.75, 1.0),
    flip=LEFT_RIGHT,
    tilt=15.0,
    autocontrast=0.3,
    equalize=0.3,
    blur=0.3,
    blur_reach="four-sigma",
)
"""The global view (METHODS 8.3, source). That tilts are bilinear and the blur's sigma is that of
DINO is our choice."""
_DISTL_LOCAL = replace(
    _DISTL, local=True, crop=(0.2, 0.6), autocontrast=0.5, equalize=0.5, blur=0.5
)

PRESETS: Mapping[str, Recipe] = MappingProxyType(
    {
        "moco-v3": Recipe((_MOCO, _MOCO_SECOND), strength=1.0),
        "simclr": Recipe((_SIMCLR, _SIMCLR), strength=1.0),
        "rotation": Recipe((_ROTATION,) * 4, rotations=True),
        # the strength is unknown: half of SimCLR's (METHODS 6, our choice)
        "rotation-jitter": Recipe((_ROTATION_JITTER,) * 4, rotations=True, strength=0.5),
        "supervised": Recipe((View(flip=(0.5, 0.5)),)),
        "wsss-cls": Recipe((View(flip=(0.5, 0.5)),)),
        "wsss-seg": Recipe((_WSSS_SEG,)),
        "distl": Recipe((View(), _DISTL, *(_DISTL_LOCAL,) * 8), pristine=True),
    }
)
