"""Which pixels a patch covers: level choice and grid arithmetic, without any I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiling.errors import PlanError
from wsi.geometry import Level, Mpp, Size


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a requested resolution is met.

    Attributes:
        level: the slide level that is read.
        reduction_x: level pixels per patch pixel along x; 1 where pixels are taken as they are.
        reduction_y: the same along y.
        requested: microns per pixel asked for, None for the slide's own.
        effective: microns per pixel that the patches really have.
    """

    level: int
    reduction_x: float
    reduction_y: float
    requested: float | None
    effective: Mpp

    @property
    def unscaled(self) -> bool:
        """Whether level pixels become patch pixels one to one."""
        return self.reduction_x == 1 and self.reduction_y == 1


def choose_resolution(
    levels: Sequence[Level], mpp: Mpp, requested: float | None, tolerance: float
) -> Resolution:
    """Pick the level and the reduction for `requested` microns per pixel.

    A level within `tolerance` (relative) is used as it is. Otherwise the coarsest finer level is
    reduced, by a whole number where one lies within the tolerance, so that no pixel is blended
    across patch borders for the sake of a fraction of a percent.

    Raises:
        PlanError: every level is coarser than what was asked for; enlarging is refused.
    """
    if requested is None:
        return Resolution(0, 1.0, 1.0, None, mpp)
    candidates = [_reduction(level, mpp, requested, tolerance) for level in levels]
    exact = [r for r in candidates if r.unscaled]
    if exact:
        return min(exact, key=lambda r: abs(r.effective.mean - requested))
    finer = [r for r in candidates if min(r.reduction_x, r.reduction_y) >= 1]
    if not finer:
        raise PlanError(
            f"asked for {requested:g} um/px, but the finest level has {mpp.x:.4g} x {mpp.y:.4g} "
            "um/px, and enlarging is refused; ask for a coarser --mpp"
        )
    return min(finer, key=lambda r: r.reduction_x * r.reduction_y)


def _reduction(level: Level, mpp: Mpp, requested: float, tolerance: float) -> Resolution:
    own_x, own_y = mpp.x * level.downsample, mpp.y * level.downsample
    x = _snap(requested / own_x, tolerance)
    y = _snap(requested / own_y, tolerance)
    return Resolution(level.index, x, y, requested, Mpp(own_x * x, own_y * y))


def _snap(reduction: float, tolerance: float) -> float:
    whole = max(1.0, float(round(reduction)))
    return whole if abs(reduction / whole - 1) <= tolerance else reduction


@dataclass(frozen=True, slots=True)
class Grid:
    """A regular grid of patches over one level; row-major, y then x.

    Attributes:
        origin_x, origin_y: top-left corner of the grid, in pixels of the level.
        step_x, step_y: distance between patches, in pixels of the level; may be fractional.
        extent_x, extent_y: side of a patch, in pixels of the level; may be fractional.
        columns, rows: number of patches along x and y.
        downsample: level-0 pixels per level pixel.
    """

    origin_x: float
    origin_y: float
    step_x: float
    step_y: float
    extent_x: float
    extent_y: float
    columns: int
    rows: int
    downsample: float

    def __len__(self) -> int:
        """Number of grid positions, kept or not."""
        return self.columns * self.rows

    def origins(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Top-left corners `(n, 2)` as x, y in pixels of the level, for row-major `indices`."""
        rows, columns = np.divmod(indices, max(self.columns, 1))
        x = self.origin_x + columns * self.step_x
        y = self.origin_y + rows * self.step_y
        return np.stack([x, y], axis=1)

    def level0(self, indices: NDArray[np.int64]) -> NDArray[np.int32]:
        """Top-left corners `(n, 2)` as x, y in level-0 pixels, rounded half to even."""
        return np.rint(self.origins(indices) * self.downsample).astype(np.int32)

    def nearest(self, level0: NDArray[np.int32]) -> NDArray[np.int64]:
        """Row-major indices `(n,)` of the positions whose rounded corners are `level0` `(n, 2)`."""
        origin, step = (self.origin_x, self.origin_y), (self.step_x, self.step_y)
        cells = np.rint((level0 / self.downsample - origin) / step).astype(np.int64)
        indices: NDArray[np.int64] = cells[:, 1] * self.columns + cells[:, 0]
        return indices

    @property
    def footprint_level0(self) -> tuple[float, float]:
        """Width and height of a patch in level-0 pixels; may be fractional."""
        return self.extent_x * self.downsample, self.extent_y * self.downsample


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a level that holds the picture: x, y, width, height in pixels of the level."""

    x: float
    y: float
    width: float
    height: float


def lay_grid(
    window: Window,
    downsample: float,
    resolution: Resolution,
    *,
    patch: Size,
    stride: Size,
    pad: bool = False,
) -> Grid:
    """Lay patches of `patch` output pixels, `stride` apart, over `window`.

    With `pad`, patches that hang over the right and the lower edge belong to the grid; without,
    only those that lie wholly inside the window.
    """
    extent_x, extent_y = patch.width * resolution.reduction_x, patch.height * resolution.reduction_y
    step_x, step_y = stride.width * resolution.reduction_x, stride.height * resolution.reduction_y
    return Grid(
        origin_x=window.x,
        origin_y=window.y,
        step_x=step_x,
        step_y=step_y,
        extent_x=extent_x,
        extent_y=extent_y,
        columns=_count(window.width, extent_x, step_x, pad=pad),
        rows=_count(window.height, extent_y, step_y, pad=pad),
        downsample=downsample,
    )


def _count(length: float, extent: float, step: float, *, pad: bool) -> int:
    room = length if pad else length - extent + step
    # 1e-6 px: 3 * 0.1 must not lose a patch to the last bit of a float
    count = np.ceil(room / step - 1e-6) if pad else np.floor(room / step + 1e-6)
    return max(0, int(count))
