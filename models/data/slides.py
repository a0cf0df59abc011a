"""What an archive says of its slides and patches, read once when a data set is made."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError
from tiling.labels import UNKNOWN, Labels, read_labels, read_partition
from tiling.store import NUMPY_TYPES, Archive, PatchStore
from tiling.tiles import UNREADABLE

READERS = 8
"""Slides that are read at a time: an archive in a bucket answers slowly, but to many at once."""


@dataclass(frozen=True, slots=True)
class SlideInfo:
    """One slide of a data set; texts are empty where they are not known, `mpp` is None."""

    slide_id: str
    patient: str
    site: str
    label: str
    split: str
    mpp: float | None = None


@dataclass(frozen=True)
class Contents:
    """All patches of a data set, slide after slide.

    Attributes:
        slides: sorted by ID.
        slide_of: position in `slides`, `(N,)`.
        patch_of: number of the patch in its slide, `(N,)`.
        coords: x, y `(N, 2)`.
        labels: of the patches; None where no slide has any.
        partition: `(N,)`; None where no slide has one.
        patch_shape: `(H, W, C)` of every patch.
        dtype: of every patch.
    """

    slides: tuple[SlideInfo, ...]
    slide_of: NDArray[np.int64]
    patch_of: NDArray[np.int64]
    coords: NDArray[np.int32]
    labels: Labels | None
    partition: NDArray[np.int16] | None
    patch_shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class _Slide:
    info: SlideInfo
    patches: NDArray[np.int64]
    coords: NDArray[np.int32]
    labels: Labels | None
    partition: NDArray[np.int16] | None
    patch_shape: tuple[int, ...]
    dtype: np.dtype[Any]


def read_contents(
    archive: Archive, slide_ids: Sequence[str] | None, *, unreadable: bool, labels: bool = True
) -> Contents:
    """Read what is known of slides.

    Args:
        archive: where they are.
        slide_ids: which; None for all.
        unreadable: also take patches that could not be read and are white (status 2).
        labels: read them.

    Raises:
        DataError: there are none, one is named twice, or they do not fit together.
        StoreError: one is not in the archive.
    """
    names = sorted(archive.slide_ids() if slide_ids is None else slide_ids)
    if not names:
        raise DataError(f"{archive.location} holds no slides that could be read")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"the slide {twice[0]!r} is named twice")
    with ThreadPoolExecutor(READERS) as pool:
        slides = list(pool.map(lambda name: _read(archive[name], unreadable, labels), names))
    _require_one_kind(slides)
    counts = [len(slide.patches) for slide in slides]
    return Contents(
        slides=tuple(slide.info for slide in slides),
        slide_of=np.repeat(np.arange(len(slides)), counts),
        patch_of=np.concatenate([slide.patches for slide in slides]),
        coords=np.concatenate([slide.coords for slide in slides]),
        labels=_join_labels(slides),
        partition=_join_partitions(slides),
        patch_shape=slides[0].patch_shape,
        dtype=slides[0].dtype,
    )


def _read(store: PatchStore, unreadable: bool, labelled: bool) -> _Slide:  # noqa: FBT001 - by a pool
    known, document = store.attributes, store.document("patches")
    status = store.status
    patches = np.arange(len(store)) if unreadable else np.flatnonzero(status != UNREADABLE)
    labels, partition = read_labels(store) if labelled else None, read_partition(store)
    return _Slide(
        info=SlideInfo(
            store.slide_id,
            known["patient"],
            known["site"],
            known["labels"]["label"],
            known["labels"]["split"],
            known.get("mpp_effective", [None])[0],
        ),
        patches=patches.astype(np.int64),
        coords=store.coords[patches],
        labels=labels and Labels(labels.values[patches], labels.names, labels.kind),
        partition=None if partition is None else partition[patches],
        patch_shape=tuple(document["shape"][1:]),
        dtype=np.dtype(NUMPY_TYPES[document["data_type"]]),
    )


def _require_one_kind(slides: Sequence[_Slide]) -> None:
    """Raise `DataError` unless all patches have one shape and type, and labels one meaning."""
    first = slides[0]
    for slide in slides:
        if (slide.patch_shape, slide.dtype) != (first.patch_shape, first.dtype):
            raise DataError(
                f"patches of one data set have one size and type: {_kind(first)}, but "
                f"{_kind(slide)}; name the slides that fit together, or make an archive for each"
            )
    labelled = [slide for slide in slides if slide.labels is not None]
    for slide in labelled:
        if _meaning(slide) != _meaning(labelled[0]):
            raise DataError(
                f"labels mean different things: {labelled[0].info.slide_id} has "
                f"{_meaning(labelled[0])}, {slide.info.slide_id} has {_meaning(slide)}; import "
                "them with the same classes, or leave labels out with labels=False"
            )


def _kind(slide: _Slide) -> str:
    shape = " x ".join(map(str, slide.patch_shape))
    return f"{slide.info.slide_id} has {shape} {slide.dtype.name}"


def _meaning(slide: _Slide) -> str:
    labels = slide.labels
    return "" if labels is None else f"{labels.kind} of {', '.join(labels.names)}"


def _join_labels(slides: Sequence[_Slide]) -> Labels | None:
    like = next((slide.labels for slide in slides if slide.labels is not None), None)
    if like is None:
        return None
    parts = [
        np.full((len(slide.patches), *like.values.shape[1:]), UNKNOWN, like.values.dtype)
        if slide.labels is None
        else slide.labels.values
        for slide in slides
    ]
    return Labels(np.concatenate(parts), like.names, like.kind)


def _join_partitions(slides: Sequence[_Slide]) -> NDArray[np.int16] | None:
    if all(slide.partition is None for slide in slides):
        return None
    parts = [
        np.full(len(slide.patches), UNKNOWN, np.int16)
        if slide.partition is None
        else slide.partition
        for slide in slides
    ]
    return np.concatenate(parts)
