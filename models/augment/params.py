"""What was drawn: plain arrays on the CPU, one row per patch."""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Rows = slice | Ints

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""Numbers of the operations of the jitter, in `factors` and in `order`."""


@dataclass(frozen=True, slots=True)
class ViewParams:
    """What happens to N patches in one view.

    Attributes:
        crop: height and width of the crop as shares of the side, in (0, 1], then its top and left
            as shares of the room that is left, in [0, 1), `(N, 4)`.
        flip: up-down, left-right; after the crop, `(N, 2)`.
        turn: quarter turns counter-clockwise, 0 to 3, after the flips, `(N,)`.
        tilt: degrees counter-clockwise, after the turns, `(N,)`.
        autocontrast: whether channels are stretched, `(N,)`.
        equalized: whether histograms are made even, `(N,)`.
        stain: factors and shifts of haematoxylin, eosin and DAB, `(N, 2, 3)`.
        jittered: whether colours are jittered, `(N,)`.
        factors: of brightness, contrast, saturation, and the shift of hue in turns, `(N, 4)`.
        order: numbers of these operations, first to last, `(N, 4)`.
        grey: `(N,)`.
        sigma: of the Gaussian blur in pixels of the output, 0 for none, `(N,)`.
        solarized: `(N,)`.
    """

    crop: Floats
    flip: Bools
    turn: Ints
    tilt: Floats
    autocontrast: Bools
    equalized: Bools
    stain: Floats
    jittered: Bools
    factors: Floats
    order: Ints
    grey: Bools
    sigma: Floats
    solarized: Bools

    def __len__(self) -> int:
        """Count the patches, N."""
        return len(self.turn)

    def rows(self, indices: Rows) -> Self:
        """Give these patches' rows."""
        chosen: dict[str, Any] = {f.name: getattr(self, f.name)[indices] for f in fields(self)}
        return type(self)(**chosen)


class Params(NamedTuple):
    """What happens to N patches in each view."""

    views: tuple[ViewParams, ...]

    def rows(self, indices: Rows) -> "Params":
        """Give these patches' rows, as for a rank's share of a step."""
        return Params(tuple(view.rows(indices) for view in self.views))
