"""Which patches a pretraining sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.data import JoinedPatches, PatchDataset
from models.errors import DataError, LabelsError
from models.ssl.job import PretrainJob
from models.training.taught import describe_patches
from tiling.epochs import Indices
from tiling.subset import fraction

Patches = PatchDataset | JoinedPatches


@dataclass(frozen=True)
class Chosen:
    """Patches of archives, and those of them that take part.

    Attributes:
        patches: all of the archives.
        rows: that take part, sorted, (M,).
    """

    patches: Patches
    rows: Indices

    @property
    def slides(self) -> Indices:
        """Slide of each row, (M,)."""
        return self.patches.slide_of[self.rows]

    def document(self) -> dict[str, Any]:
        """Count them, as JSON values."""
        slides = [self.patches.slides[i] for i in np.unique(self.slides)]
        return describe_patches(slides, len(self.rows), self.patches.patch_shape[0])


def open_patches(archives: Sequence[str], *, labels: bool = True) -> Patches:
    """Open the patches of archives together.

    Raises:
        DataError: they do not fit together, or are no 8-bit RGB of one square size.
        StoreError: there is no such archive.
    """
    parts = [PatchDataset(archive, labels=labels) for archive in archives]
    patches = parts[0] if len(parts) == 1 else JoinedPatches(parts)
    height, width, channels = patches.patch_shape
    if patches.dtype != np.uint8 or channels != 3 or height != width:
        raise DataError(
            "pretraining takes square 8-bit RGB patches; these are "
            f"{patches.dtype} {patches.patch_shape}"
        )
    return patches


def choose(job: PretrainJob) -> Chosen:
    """Open a job's patches and choose its rows.

    Raises:
        DataError: no slide is of the split, or see `open_patches`.
        LabelsError: a share of every class is asked for, and there are no classes.
    """
    patches = open_patches(job.archives)
    rows = np.arange(len(patches), dtype=np.int64)
    if job.split is not None:
        splits = np.array([slide.split for slide in patches.slides])
        rows = rows[(splits == job.split)[patches.slide_of]]
        if not len(rows):
            known = ", ".join(sorted(set(splits) - {""})) or "none"
            raise DataError(f"no slide is of the split {job.split!r}; there are: {known}")
    labels = None
    if job.stratify:
        labels = _classes(patches)
        rows = rows[labels[rows] >= 0]
        labels = labels[rows]
    share = fraction(
        patches.slide_of[rows],
        job.fraction,
        seed=job.fraction_seed,
        unit=job.fraction_unit,
        labels=labels,
    )
    return Chosen(patches, rows[share])


def _classes(patches: Patches) -> Indices:
    labels = patches.labels
    if labels is None or labels.ndim > 1:
        raise LabelsError("a share of every class needs patches with one class each")
    return labels.astype(np.int64)
