"""Pseudo masks of archives: from patch labels to arrays beside the patches, slide by slide."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.data import PatchDataset, iterate_batches
from models.errors import LabelsError
from models.segmentation.choosing import slides_of
from models.segmentation.classifier import check_labels, several_labels
from models.segmentation.layers import about_masks, layer_array
from models.segmentation.model import TissueModel
from models.segmentation.predict import make_pseudo_masks
from models.segmentation.storing import write_masks
from tiling.errors import ConflictError
from tiling.lease import Leases
from tiling.store import Archive, PatchStore

FORMAT = 1
"""Of what is recorded; another one is made anew."""

Masks = NDArray[np.uint8]


@dataclass(frozen=True)
class PseudoRequest:
    """What is asked for.

    Attributes:
        archives: locations.
        name: of the set; its arrays are called `<name>_<layer>`.
        split: slides of it; None for those of the split train, or all where there is none.
        batch: patches at a time.
        force: also where microns per pixel are not the classifier's.
        overwrite: replace sets of the same name that another classifier has made.
    """

    archives: Sequence[str]
    name: str
    split: str | None = None
    batch: int = 20
    force: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class SlideMasks:
    """What came of a slide.

    Attributes:
        archive: its location.
        slide_id: its ID.
        patches: how many.
        empty: of these, without a mask: no class in the label, or nothing to be seen.
        pixels: of each class and of background in the first layer, (C + 1,).
        skipped: it had these masks already; then nothing is counted.
    """

    archive: str
    slide_id: str
    patches: int
    empty: int
    pixels: tuple[int, ...]
    skipped: bool


class PseudoMasker:
    """Makes the masks of all layers of a classifier.

    Args:
        classifier: of stage 1, on its device and in evaluation mode.
        request: what is asked for.
    """

    def __init__(self, classifier: TissueModel, request: PseudoRequest) -> None:
        self._classifier, self._request = classifier, request
        self._taps = tuple(reversed(classifier.network.trunk.taps))  # type: ignore[union-attr, arg-type]  # a classifier has a trunk
        self.arrays = tuple(layer_array(request.name, str(tap)) for tap in self._taps)
        self.notes: list[str] = []

    def plan(self) -> list[tuple[str, PatchStore]]:
        """Find the slides, and refuse what cannot be done before anything is.

        Raises:
            LabelsError: no patch says which classes it holds.
            MismatchError: other classes, or another resolution.
            ConflictError: another classifier has made masks of this name.
        """
        card, found = self._classifier.card, []
        for archive, slides in slides_of(self._request.archives, self._request.split).items():
            patches = PatchDataset(archive, slides)
            if patches.labels is None:
                raise LabelsError(
                    f"the patches of {archive} have no labels; `microtome import patches` writes "
                    "them"
                )
            card.require_classes(patches.label_names, archive)
            check_labels(torch.from_numpy(np.asarray(patches.labels)), patches.label_names)
            for info in patches.slides:
                self.notes += card.require_mpp(info.mpp, force=self._request.force)
            opened = Archive.open(archive)
            found += [(archive, opened[slide]) for slide in slides]
        for _, store in found:
            self._require_free(store)
        return found

    def make(self, archive: str, store: PatchStore, done: Callable[[int], None]) -> SlideMasks:
        """Make and store the masks of a slide, unless it has them.

        Args:
            archive: location.
            store: the slide.
            done: told of every batch how many patches it had.
        """
        wanted = [self._about(number) for number in range(len(self.arrays))]
        lease = f"{store.slide_id}@masks-{self._request.name}"  # no slide has an @ in its ID
        with Leases(store.storage) as leases:
            leases.sweep()
            if not leases.acquire(lease):
                raise ConflictError(f"another run makes the masks of {store.slide_id} right now")
            try:
                if [about_masks(store, array) for array in self.arrays] == wanted:
                    done(len(store))
                    return SlideMasks(archive, store.slide_id, len(store), 0, (), skipped=True)
                side = self._side(store)
                with _room((len(self.arrays), len(store), side, side)) as room:
                    self._fill(room, archive, store.slide_id, done)
                    for number, array in enumerate(self.arrays):
                        leases.check(lease)
                        write_masks(store, array, room[number], side_px=side, about=wanted[number])
                    return self._summary(archive, store, room[0])
            finally:
                leases.release(lease)

    def _fill(self, room: Masks, archive: str, slide_id: str, done: Callable[[int], None]) -> None:
        device = self._classifier.get_buffer("scale").device
        classes = len(self._classifier.card.classes)
        # unreadable patches too: masks come in the order of the store
        patches = PatchDataset(archive, [slide_id], unreadable=True)
        order = np.arange(len(patches), dtype=np.int64)
        with closing(patches):
            for batch in iterate_batches(patches, order, batch_size=self._request.batch):
                unknown = torch.full((len(batch), classes), -1)
                labels = several_labels(unknown if batch.labels is None else batch.labels, classes)
                pixels = batch.pixels.to(device)
                masks = make_pseudo_masks(self._classifier, pixels, labels.to(device))
                room[:, batch.index.numpy()] = masks.cpu().numpy().swapaxes(0, 1)
                done(len(batch))

    def _summary(self, archive: str, store: PatchStore, first: Masks) -> SlideMasks:
        classes = len(self._classifier.card.classes)
        pixels = sum((np.bincount(mask.ravel(), minlength=classes + 1) for mask in first), 0)
        empty = sum(bool((mask == classes).all()) for mask in first)
        counted = tuple(int(n) for n in np.atleast_1d(pixels))
        return SlideMasks(archive, store.slide_id, len(store), empty, counted, skipped=False)

    def _side(self, store: PatchStore) -> int:
        return int(store.document("patches")["shape"][1])

    def _about(self, number: int) -> dict[str, Any]:
        card = self._classifier.card
        return {
            "format": FORMAT,
            "set": self._request.name,
            "order": number,
            "layer": str(self._taps[number]),
            "classes": list(card.classes),
            "white": card.white,
            "classifier": card.name,
            "classifier_sha256": card.weights_sha256,
        }

    def _require_free(self, store: PatchStore) -> None:
        """Refuse to replace what another classifier has made, or what is no pseudo mask."""
        for number, array in enumerate(self.arrays):
            there = about_masks(store, array)
            if there is None or there == self._about(number) or self._request.overwrite:
                continue
            by = there.get("classifier", "another program")
            raise ConflictError(
                f"{store.slide_id} has masks {array} already, made by {by} with other weights; "
                "choose another --name, or --overwrite"
            )


@contextmanager
def _room(shape: tuple[int, ...]) -> Iterator[Masks]:
    """Give room on the disk for the masks of one slide, whatever its size."""
    with tempfile.TemporaryFile() as file:
        if prod(shape):
            os.posix_fallocate(file.fileno(), 0, prod(shape))  # a full disk must not be a signal
        yield np.memmap(file, np.uint8, "w+", shape=shape)
