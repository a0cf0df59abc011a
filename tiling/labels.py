"""What is known of each patch: `labels` (classes or several at once) and `partition`.

Arrays of one chunk beside `patches`, one row per patch; a slide may have none. They are written
with the slide, or added to a committed one: the data first, the document last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tiling import zarrjson
from tiling.errors import CorruptStoreError, StoreError
from tiling.storage import Storage
from tiling.store import DOCUMENT, PatchStore

LABELS = "labels"
PARTITION = "partition"

UNKNOWN = -1
"""A label, or a partition, that nobody gave."""

Kind = Literal["classes", "multilabel"]
DTYPES = {"classes": "i4", "multilabel": "i1"}


@dataclass(frozen=True)
class Labels:
    """Labels of the patches of a slide, or of many slides.

    Attributes:
        values: of `classes` the index of the class `(N,)`; of `multilabel` 1, 0 or -1 per class
            `(N, C)`. -1 is unknown.
        names: of the classes, C of them.
        kind: one class per patch, or any number.

    Raises:
        StoreError: values do not fit the names.
    """

    values: NDArray[np.integer]
    names: tuple[str, ...]
    kind: Kind

    def __post_init__(self) -> None:
        """Check that values fit the names."""
        classes = len(self.names)
        shape = self.values.shape[1:]
        if shape != ((classes,) if self.kind == "multilabel" else ()):
            raise StoreError(f"labels {self.values.shape} are not {self.kind} of {classes} names")
        top = classes - 1 if self.kind == "classes" else 1
        if self.values.size and not UNKNOWN <= self.values.min() <= self.values.max() <= top:
            raise StoreError(f"labels must be from -1 to {top}, got {self.values.max()}")

    def __len__(self) -> int:
        """Number of patches."""
        return len(self.values)

    def array(self) -> zarrjson.SmallArray:
        """Give what is stored."""
        attributes = {"microtome": {"names": list(self.names), "kind": self.kind}}
        dtype = DTYPES[self.kind]
        return zarrjson.small_array(self.values, dtype, compress=True, attributes=attributes)


def partition_array(values: Sequence[int] | NDArray[np.integer]) -> zarrjson.SmallArray:
    """Give what is stored of the partition `(N,)`: ordered classes from 0, or -1 for unknown."""
    return zarrjson.small_array(np.asarray(values), "i2", compress=True)


def partition_of(count: int, classes: int) -> NDArray[np.int16]:
    """Cut `count` ordered slices into `classes` parts, `(count,)`, counted from 0.

    METHODS 9.1, as Zeng et al. 2021 (arXiv 2106.09157) do it: parts of `count / classes` slices,
    rounded half up and at least 1; what is left over belongs to the last. Differs from the source:
    it counts from 1.
    """
    if classes < 1:
        raise ValueError(f"there must be at least 1 partition, got {classes}")
    part = max(1, (2 * count + classes) // (2 * classes))
    return np.minimum(np.arange(count) // part, classes - 1).astype(np.int16)


def read_labels(store: PatchStore) -> Labels | None:
    """Read a slide's labels; None where it has none.

    Raises:
        CorruptStoreError: they are not what was written.
    """
    found = _read(store, LABELS)
    if found is None:
        return None
    values, attributes = found
    try:
        return Labels(values, tuple(attributes["names"]), attributes["kind"])
    except (KeyError, TypeError, StoreError) as err:
        raise CorruptStoreError(f"{store.slide_id}/{LABELS} is damaged: {err}") from err


def read_partition(store: PatchStore) -> NDArray[np.int16] | None:
    """Read a slide's partition `(N,)`; None where it has none.

    Raises:
        CorruptStoreError: it is not what was written.
    """
    found = _read(store, PARTITION)
    return None if found is None else found[0]


def add_array(storage: Storage, slide_id: str, name: str, array: zarrjson.SmallArray) -> None:
    """Add an array to a committed slide, or replace it: un-committed, data, document."""
    key = f"{slide_id}/{name}"
    storage.delete(f"{key}/{DOCUMENT}")
    storage.delete(key)
    if array.chunk is not None:
        storage.write(f"{key}/{array.chunk_key}", [array.chunk])
    storage.write(f"{key}/{DOCUMENT}", [array.document])


def _read(store: PatchStore, name: str) -> tuple[NDArray[Any], dict[str, Any]] | None:
    try:
        document = store.document(name)
    except FileNotFoundError:
        return None
    except ValueError as err:
        raise CorruptStoreError(f"{store.slide_id}/{name}/{DOCUMENT} is damaged: {err}") from err
    try:
        values = store.small(name)
    except (OSError, ValueError, RuntimeError) as err:
        raise CorruptStoreError(f"{store.slide_id}/{name} cannot be read: {err}") from err
    if len(values) != len(store):
        raise CorruptStoreError(
            f"{store.slide_id}/{name} has {len(values)} rows for {len(store)} patches"
        )
    return values, document["attributes"].get("microtome", {})
