"""Magnifications, for consumers that have no microns: names of resolutions, and their arithmetic.

10 um/px at 1x is what scanners and TRIDENT agree on (20x is 0.5 um/px).
"""

import math

from models.bags.bag import Bag
from models.errors import BagError

MICRONS_AT_1X = 10.0
USUAL = (80.0, 60.0, 40.0, 20.0, 10.0, 5.0, 2.5, 1.25)
TOLERANCE = 0.03
"""Relative; that of choosing a level of a slide."""
STEPS = 16
"""Float steps that are tried; one was enough wherever it was looked at."""


def nominal_magnification(bag: Bag) -> float:
    """Name the resolution of the patches: the usual magnification, or 4 digits of its own.

    That which was asked for counts, where known, so that slides that met it within the tolerance
    get one name.
    """
    _, effective = bag.require_mpp("TRIDENT")
    asked = bag.attributes.get("mpp_requested")
    mpp = float(asked) if asked else sum(effective) / 2
    exact = MICRONS_AT_1X / mpp
    near = [usual for usual in USUAL if abs(exact / usual - 1) <= TOLERANCE]
    return near[0] if near else float(f"{exact:.4g}")


def level0_magnification(patch_px: int, level0_px: int, target: float) -> float:
    """Find m so that `patch_px * m // target == level0_px`, as readers compute the side.

    The quotient may come out one below for want of a float's last bit; then m is raised by it.

    Raises:
        BagError: no float does it.
    """
    found = target * level0_px / patch_px
    for _ in range(STEPS):
        if patch_px * found // target == level0_px:
            return found
        found = math.nextafter(found, math.inf)
    raise BagError(f"no magnification makes {patch_px} px at {target:g}x {level0_px} level-0 px")
