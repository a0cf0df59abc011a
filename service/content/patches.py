"""The patches of a slide: where they lie, and the bytes of one."""

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import pyarrow as pa

from models.bags.patches import Patches
from service.archives import Held
from service.content.documents import PatchColumns, PatchGrid, StatusCounts
from service.errors import NotFoundError
from service.reading import reading
from tiling.encoding import JPEG, decode_patch
from tiling.labels import Labels, read_labels
from tiling.reader import PatchReader

OPEN_SLIDES = 16
"""Slides whose patches can be read without opening files anew."""


def describe_grid(held: Held, *, columns: bool) -> PatchGrid:
    """Describe the patches of a slide.

    Args:
        held: the slide.
        columns: also what is known of each of them.

    Raises:
        CorruptStoreError: they are damaged.
    """
    with reading(what_of(held)):
        patches = Patches(held.store, keep_unreadable=True)
        counts = np.bincount(patches.status, minlength=3).tolist()
        labels = read_labels(held.store)
        return PatchGrid(
            archive=held.archive,
            count=len(patches),
            patch_size_px=held.store.attributes["patch_size_px"],
            patch_size_level0=patches.level0_patch,
            stride_level0=patches.level0_stride,
            mpp=patches.mpp_effective,
            encoding=str(held.store.attributes.get("encoding", {}).get("label", "")),
            status=StatusCounts(ok=counts[0], retried=counts[1], unreadable=counts[2]),
            label_names=list(labels.names) if labels else None,
            patches=_columns(patches, labels) if columns else None,
        )


def _columns(patches: Patches, labels: Labels | None) -> PatchColumns:
    return PatchColumns.model_construct(  # all are numbers already; checking them takes longer
        x=patches.coords[:, 0].tolist(),
        y=patches.coords[:, 1].tolist(),
        tissue_fraction=patches.tissue_fraction.round(4).astype(float).round(4).tolist(),
        status=patches.status.tolist(),
        labels=labels.values.tolist() if labels else None,
    )


def grid_table(held: Held) -> pa.Table:
    """Give what is known of each patch as an Arrow table.

    Raises:
        CorruptStoreError: it is damaged.
    """
    with reading(what_of(held)):
        patches = Patches(held.store, keep_unreadable=True)
        labels = read_labels(held.store)
        columns: dict[str, Any] = {
            "x": np.ascontiguousarray(patches.coords[:, 0]),
            "y": np.ascontiguousarray(patches.coords[:, 1]),
            "tissue_fraction": patches.tissue_fraction,
            "status": patches.status,
        }
        if labels:
            values = np.asarray(labels.values)
            columns["labels"] = values.tolist() if values.ndim > 1 else values
        grid = describe_grid(held, columns=False).model_dump_json()
        return pa.table(columns).replace_schema_metadata({"microtome": grid})


def what_of(held: Held) -> str:
    """The patches in words."""
    return f"the patch data of {held.store.slide_id} in {held.archive}"


class OpenPatches:
    """Reads single patches; slides stay open for a while. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, str, int], _Open] = OrderedDict()

    def picture(self, held: Held, index: int) -> tuple[bytes, str]:
        """Give one patch as it is stored where that is a JPEG, else as PNG; and its media type.

        Raises:
            NotFoundError: there is no such patch.
            CorruptStoreError: it is damaged.
        """
        count = len(held.store)
        if not 0 <= index < count:
            raise NotFoundError(f"{held.store.slide_id} has no patch {index}, only {count}")
        with reading(what_of(held)):
            opened = self._opened(held)
            data = opened.read(index)
            if opened.reader.encoding.codec == JPEG:
                return data, "image/jpeg"
            return _png(opened.reader, data), "image/png"

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            found = list(self._open.values())
            self._open.clear()
        for one in found:
            one.close()

    def _opened(self, held: Held) -> "_Open":
        store = held.store
        key = store.storage.root, store.slide_id, int(store.attributes["checksum"])
        with self._lock:
            found = self._open.get(key)
            if found is None:
                found = self._open[key] = _Open(PatchReader(store))
            self._open.move_to_end(key)
            old = [self._open.popitem(last=False)[1] for _ in range(len(self._open) - OPEN_SLIDES)]
        for one in old:
            one.close()
        return found


class _Open:
    """The reader of a slide, for one thread at a time."""

    def __init__(self, reader: PatchReader) -> None:
        self.reader, self._lock = reader, threading.Lock()

    def read(self, index: int) -> bytes:
        with self._lock:
            return self.reader.encoded(index)

    def close(self) -> None:
        with self._lock:
            self.reader.close()


def _png(reader: PatchReader, data: bytes) -> bytes:
    """Show a patch of any type; numbers of more than 8 bits from their lowest to their highest."""
    import imagecodecs

    pixels = decode_patch(data, reader.encoding, np.empty(reader.patch_shape, reader.dtype))
    if pixels.dtype != np.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        pixels = ((pixels - low) * (255 / max(high - low, 1e-12))).round().astype(np.uint8)
    return bytes(imagecodecs.png_encode(np.squeeze(pixels), level=1))
