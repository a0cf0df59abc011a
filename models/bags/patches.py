"""One slide's patches with all that exporters need to know of the slide.

Knows no embeddings and no format.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BagError
from tiling.grid import Grid
from tiling.store import DOCUMENT, PatchStore
from tiling.tiles import UNREADABLE

Pair = tuple[float, float]
"""Along x, then along y."""


@dataclass(frozen=True, slots=True)
class PatchLabels:
    """Labels of the patches of a bag.

    Attributes:
        values: `(n,)` class index or `(n, C)` 1 yes, 0 no; -1 is unknown in both.
        names: of the classes.
        kind: `classes` or `multilabel`.
    """

    values: NDArray[np.integer[Any]]
    names: tuple[str, ...]
    kind: str


class Patches:
    """The n patches of a slide that are kept, in the archive's order (y, then x).

    Args:
        store: the slide.
        keep_unreadable: also give unreadable (white) patches.
        prefix: put before the IDs of slide and patient, for consumers that take "0012" for 12.

    Raises:
        StoreError: the archive cannot be read.
    """

    def __init__(
        self, store: PatchStore, *, keep_unreadable: bool = False, prefix: str = ""
    ) -> None:
        self.store, self.attributes = store, store.attributes
        self.prefix, self.keep_unreadable = prefix, keep_unreadable
        status = store.status
        kept = np.ones(len(status), bool) if keep_unreadable else status != UNREADABLE
        self.rows: NDArray[np.int64] = np.flatnonzero(kept)
        self.n_unreadable = int(np.count_nonzero(status == UNREADABLE))

    def __len__(self) -> int:
        """Number of patches that are kept, n."""
        return len(self.rows)

    @property
    def slide_id(self) -> str:
        """The archive's ID."""
        return self.store.slide_id

    @property
    def name(self) -> str:
        """The ID that consumers get, which is the stem of files: the prefix, then the slide's ID.

        An archive's IDs are safe file names already (`tiling.slide_ids`).
        """
        return self.prefix + self.slide_id

    @property
    def patient(self) -> str:
        """The patient with the prefix; the slide's name where nobody said."""
        known = str(self.attributes.get("patient") or "")
        return self.prefix + known if known else self.name

    @property
    def site(self) -> str:
        """Where the slide is from; may be empty."""
        return str(self.attributes.get("site") or "")

    @property
    def label(self) -> str:
        """Label of the slide; may be empty."""
        return self._label("label")

    @property
    def split(self) -> str:
        """Part of a fixed split (train, val, test); may be empty."""
        return self._label("split")

    def _label(self, name: str) -> str:
        return str((self.attributes.get("labels") or {}).get(name) or "")

    @cached_property
    def coords(self) -> NDArray[np.int32]:
        """Top-left corners `(n, 2)` as x, y in level-0 pixels."""
        return np.ascontiguousarray(self.store.coords[self.rows], np.int32)

    @cached_property
    def row_col(self) -> NDArray[np.int32]:
        """Grid indices `(n, 2)` as row, column, counted from the grid's origin in strides."""
        known = self.attributes.get("grid")
        if known:
            grid = Grid(**known)
            rows, columns = np.divmod(grid.nearest(self.coords), max(grid.columns, 1))
            return np.stack([rows, columns], axis=1).astype(np.int32)
        if not len(self):
            return np.zeros((0, 2), np.int32)
        steps = np.rint((self.coords - self.coords.min(axis=0)) / self.level0_stride)
        return np.ascontiguousarray(steps[:, ::-1], np.int32)

    @cached_property
    def tissue_fraction(self) -> NDArray[np.float32]:
        """Share of each patch that is tissue, `(n,)`."""
        return np.ascontiguousarray(self.store.tissue_fraction[self.rows], np.float32)

    @cached_property
    def status(self) -> NDArray[np.uint8]:
        """Per patch `(n,)`: 0 ok, 1 retried, 2 unreadable (only where those are kept)."""
        return np.ascontiguousarray(self.store.status[self.rows], np.uint8)

    @cached_property
    def labels(self) -> PatchLabels | None:
        """Labels of the patches, where the archive has some."""
        if not self.store.storage.exists(f"{self.slide_id}/labels/{DOCUMENT}"):
            return None
        known = self.store.document("labels").get("attributes", {}).get("microtome", {})
        values = self.store.small("labels")[self.rows]
        kind = known.get("kind", "classes" if values.ndim == 1 else "multilabel")
        return PatchLabels(values, tuple(known.get("names", ())), kind)

    @property
    def patch_px(self) -> int:
        """Side of a patch in its own pixels, P."""
        return int(self.attributes["patch_size_px"])

    @property
    def stride_px(self) -> int:
        """Distance between patches in patch pixels, S."""
        return int(self.attributes.get("stride_px") or self.patch_px)

    @property
    def level0_patch(self) -> Pair:
        """Width and height of a patch in level-0 pixels, P0; may be fractional."""
        width, height = self.attributes.get("patch_size_level0") or (self.patch_px, self.patch_px)
        return float(width), float(height)

    @property
    def level0_side(self) -> float:
        """Side of a patch in level-0 pixels where a consumer knows but one: the mean of both."""
        return sum(self.level0_patch) / 2

    @property
    def level0_stride(self) -> Pair:
        """Distance between patches in level-0 pixels, S0; may be fractional."""
        known = self.attributes.get("stride_level0")
        if known:
            return float(known[0]), float(known[1])
        ratio = self.stride_px / self.patch_px
        return self.level0_patch[0] * ratio, self.level0_patch[1] * ratio

    @property
    def mpp0(self) -> Pair | None:
        """Microns per level-0 pixel; None where nobody knows (imported patches)."""
        known = self.attributes.get("mpp") or {}
        return _pair((known.get("x"), known.get("y")))

    @property
    def mpp_effective(self) -> Pair | None:
        """Microns per patch pixel; None where nobody knows."""
        return _pair(self.attributes.get("mpp_effective") or (None, None))

    def require_mpp(self, consumer: str) -> tuple[Pair, Pair]:
        """Give `mpp0` and `mpp_effective` to a format that cannot be written without.

        Raises:
            BagError: the slide has no resolution.
        """
        if self.mpp0 is None or self.mpp_effective is None:
            raise BagError(
                f"{self.slide_id} has no microns per pixel, which {consumer} cannot do without; "
                "import its patches with their resolution, or export another format"
            )
        return self.mpp0, self.mpp_effective

    @property
    def level0_size(self) -> tuple[int, int] | None:
        """Width and height of the slide in level-0 pixels; None for imported patches."""
        levels = self.attributes.get("levels")
        return (int(levels[0]["width"]), int(levels[0]["height"])) if levels else None

    @property
    def levels(self) -> list[dict[str, Any]]:
        """Levels of the slide as `{width, height, downsample}`; none for imported patches."""
        return list(self.attributes.get("levels") or [])

    @property
    def bounds(self) -> tuple[float, float, float, float] | None:
        """The scanned part as x, y, width, height in level-0 pixels; None where not known."""
        known = self.attributes.get("bounds")
        return (known[0], known[1], known[2], known[3]) if known else None

    @property
    def objective(self) -> float | None:
        """Magnification of the objective, as the slide says."""
        known = self.attributes.get("objective")
        return float(known) if known else None


def _pair(known: Any) -> Pair | None:
    x, y = known
    return (float(x), float(y)) if x and y else None
