"""The patches of several archives as one data set."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import Dataset

from models.data.batch import Batch
from models.data.slides import SlideInfo
from models.errors import DataError


class Joinable(Protocol):
    """A data set that goes together with others: `PatchDataset`, or one with masks."""

    def __len__(self) -> int:
        """Number of patches."""

    @property
    def slides(self) -> tuple[SlideInfo, ...]:
        """Its slides."""

    @property
    def slide_of(self) -> NDArray[np.int64]:
        """Position in `slides` of each patch, `(N,)`."""

    @property
    def labels(self) -> NDArray[np.integer] | None:
        """Labels of all patches."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Shape of every patch."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the pixels."""

    def __getitems__(self, indices: ArrayLike) -> Batch:
        """Give a batch in the order of `indices`."""

    def close(self) -> None:
        """Let go of all files."""


class JoinedPatches(Dataset[Batch]):
    """Data sets one after the other, slides numbered through; a slide's ID may come twice.

    Labels are given where all parts that have any give them one meaning; a part without has -1.

    Raises:
        DataError: patch sizes or types differ, or labels mean different things.
    """

    def __init__(self, parts: Sequence[Joinable]) -> None:
        _require_one_kind(parts)
        self._parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in parts])
        firsts = np.cumsum([0, *(len(part.slides) for part in parts)])
        self._first_slides = firsts[:-1]
        self.slides: tuple[SlideInfo, ...] = tuple(s for part in parts for s in part.slides)
        self.slide_of: NDArray[np.int64] = np.concatenate(
            [part.slide_of + first for part, first in zip(parts, firsts[:-1], strict=True)]
        )
        self.label_names = next((part.label_names for part in parts if part.label_names), ())
        self.labels = _joined_labels(parts)

    def __len__(self) -> int:
        """Number of patches."""
        return int(self._ends[-1])

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Shape of every patch, `(H, W, C)`."""
        return self._parts[0].patch_shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the pixels."""
        return self._parts[0].dtype

    def __getitems__(self, indices: ArrayLike) -> Batch:
        """Give a batch in the order of `indices`, `(B,)`."""
        wanted = np.asarray(indices, np.int64).reshape(-1)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"no patch {wanted.max()}: the data set has {len(self)}")
        part_of = np.searchsorted(self._ends, wanted, side="right")
        places = [np.flatnonzero(part_of == number) for number in np.unique(part_of)]
        read = [self._read(int(part_of[rows[0]]), wanted[rows]) for rows in places]
        order = torch.from_numpy(np.argsort(np.concatenate(places), kind="stable"))
        return Batch(*(_merged(read, field.name, order) for field in fields(Batch)))  # type: ignore[arg-type]  # fields that may be None stay in place

    def close(self) -> None:
        """Let go of files and threads; reading opens them again."""
        for part in self._parts:
            part.close()

    def _read(self, number: int, wanted: NDArray[np.int64]) -> Batch:
        part = self._parts[number]
        batch = part.__getitems__(wanted - (self._ends[number] - len(part)))
        labels = batch.labels
        if labels is None and self.labels is not None:
            labels = torch.full((len(wanted), *self.labels.shape[1:]), -1)
        return Batch(
            pixels=batch.pixels,
            slide=batch.slide + int(self._first_slides[number]),
            coords=batch.coords,
            labels=labels if self.labels is not None else None,
            partition=None,
            index=torch.from_numpy(wanted),
            masks=batch.masks,
        )


def _merged(batches: Sequence[Batch], name: str, order: Tensor) -> Tensor | None:
    given = [getattr(batch, name) for batch in batches]
    return None if given[0] is None else torch.cat(given)[order]


def _joined_labels(parts: Sequence[Joinable]) -> NDArray[np.integer] | None:
    like = next((part.labels for part in parts if part.labels is not None), None)
    if like is None:
        return None
    return np.concatenate(
        [
            np.full((len(part), *like.shape[1:]), -1, like.dtype)
            if part.labels is None
            else part.labels
            for part in parts
        ]
    )


def _require_one_kind(parts: Sequence[Joinable]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if (part.patch_shape, part.dtype) != (first.patch_shape, first.dtype):
            raise DataError(
                f"archives that are trained on together have patches of one size and type, got "
                f"{first.patch_shape} {first.dtype} and {part.patch_shape} {part.dtype}"
            )
    named = {(p.label_names, p.labels.ndim) for p in parts if p.labels is not None}
    if len(named) > 1:
        told = " and ".join(", ".join(names) for names, _ in sorted(named))
        raise DataError(f"the archives' labels mean different things: {told}")
