"""Patches with their masks: those of an archive, true ones or such as stage 1 made."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from models.data import Batch, PatchDataset, SlideInfo
from models.data.readers import ReaderPool
from models.errors import DataError, LabelsError
from tiling.encoding import decode_patch
from tiling.store import Archive, PatchStore

TRUE_MASKS = ("masks",)
"""Array of masks that an import writes beside patches."""


class MaskedPatches:
    """A data set whose batches have masks, `(B, M, H, W)` from M arrays beside the patches.

    For the training loop: another `models.data.loading.Readable`. Pickles, and opens its files anew
    in another process.

    Args:
        patches: of one archive.
        location: of that archive.
        arrays: names of the M arrays, u1 `(N, H, W)` each.

    Raises:
        LabelsError: a slide has no such array.
        DataError: masks are of another size than the patches, or not of this type.
    """

    def __init__(
        self, patches: PatchDataset, location: str, arrays: Sequence[str] = TRUE_MASKS
    ) -> None:
        self._patches, self._location, self._arrays = patches, location, tuple(arrays)
        self._pools: list[ReaderPool] = []
        archive = Archive.open(location)
        for slide in patches.slides:
            for name in self._arrays:
                _require_masks(archive[slide.slide_id], name, patches.patch_shape[:2])

    def __len__(self) -> int:
        """Number of patches."""
        return len(self._patches)

    @property
    def slides(self) -> tuple[SlideInfo, ...]:
        """The slides, by ID."""
        return self._patches.slides

    @property
    def slide_of(self) -> NDArray[np.int64]:
        """Position in `slides` of each patch, `(N,)`."""
        return self._patches.slide_of

    @property
    def labels(self) -> NDArray[np.integer] | None:
        """Class indices `(N,)`, or 1 and 0 per class `(N, C)`; -1 is unknown."""
        return self._patches.labels

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes; none where there are no labels."""
        return self._patches.label_names

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Shape of every patch, `(H, W, C)`."""
        return self._patches.patch_shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the pixels."""
        return self._patches.dtype

    def __getitems__(self, indices: ArrayLike) -> Batch:
        """Give a batch in the order of `indices`, `(B,)`."""
        batch = self._patches.__getitems__(indices)
        return replace(batch, masks=torch.from_numpy(self.masks(batch.index.numpy())))

    def masks(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """Read masks alone, `(B, M, H, W)`."""
        wanted = np.asarray(indices, np.int64).reshape(-1)
        side = self._patches.patch_shape[:2]
        found = np.empty((len(wanted), len(self._arrays), *side), np.uint8)
        slides = self._patches.slide_of[wanted]
        for slide in np.unique(slides).tolist():
            places = np.flatnonzero(slides == slide)
            numbers = self._patches.patch_of[wanted[places]]
            for number, pool in enumerate(self._opened()):
                stored, encoding = pool.encoded(slide, numbers)
                for place, data in zip(places.tolist(), stored, strict=True):
                    decode_patch(data, encoding, found[place, number])
        return found

    def close(self) -> None:
        """Let go of all files; reading opens them again."""
        for pool in self._pools:
            pool.close()
        self._patches.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind."""
        return self.__dict__ | {"_pools": []}

    def _opened(self) -> list[ReaderPool]:
        if not self._pools:
            archive = Archive.open(self._location)
            names = [slide.slide_id for slide in self._patches.slides]
            self._pools = [ReaderPool(archive, names, array) for array in self._arrays]
        return self._pools


def _require_masks(store: PatchStore, name: str, side: tuple[int, ...]) -> None:
    try:
        document = store.document(name)
    except FileNotFoundError as err:
        raise LabelsError(
            f"{store.slide_id} has no array {name!r} of masks; import it with its masks where true "
            "ones are needed; `microtome segment pseudo-masks` makes others"
        ) from err
    shape = tuple(document["shape"])
    if shape != (len(store), *side) or document["data_type"] != "uint8":
        raise DataError(
            f"{store.slide_id}/{name} is {document['data_type']} {shape}; masks of these patches "
            f"are uint8 {(len(store), *side)}"
        )
