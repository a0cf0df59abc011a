"""Whether an imported slide still is what its files are."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tiling.encoding import AnyPixels
from tiling.errors import TilingError
from tiling.importing.group import FILES
from tiling.importing.images import ImageError, decode_any, resize
from tiling.importing.planning import IMPORTED
from tiling.importing.volumes import read_slices
from tiling.reader import PatchReader
from tiling.store import PatchStore
from tiling.tiles import UNREADABLE
from tiling.verify import Problem


def is_imported(store: PatchStore) -> bool:
    """Whether a slide was imported, so that there is no slide file to compare it with."""
    return "import" in store.attributes


def compare_files(store: PatchStore) -> list[Problem]:
    """Compare every patch with its file: bytes where they were kept, pixels where they were not."""
    uri = Path(store.attributes["source"]["uri"])
    root = uri if uri.is_dir() else uri.parent
    names = store.small(FILES).tobytes().decode().split("\n")
    try:
        if store.attributes["import"]["kind"] == "volumes":
            return list(_compare_volume(store, root / names[0].rpartition("#")[0]))
        return list(_compare_images(store, root, names))
    except (OSError, TilingError) as err:
        return [Problem(store.slide_id, "", f"its files cannot be read: {err}")]


def _compare_images(store: PatchStore, root: Path, names: list[str]) -> Iterator[Problem]:
    reader, status = PatchReader(store), store.status
    kept = store.attributes["encoding"]["label"] == IMPORTED
    for i, name in enumerate(names):
        if status[i] == UNREADABLE:
            continue
        data = (root / name).read_bytes()
        if kept:
            same = reader.encoded(i) == data
        else:
            pixels = _pixels(data, reader.patch_px)
            same = pixels is not None and np.array_equal(reader[i], pixels)
        if not same:
            yield Problem(store.slide_id, f"patch {i}", f"differs from {name}")


def _pixels(data: bytes, side_px: int) -> AnyPixels | None:
    try:
        pixels = decode_any(data)
    except ImageError:
        return None
    return pixels if pixels.shape[:2] == (side_px, side_px) else resize(pixels, side_px)


def _compare_volume(store: PatchStore, path: Path) -> Iterator[Problem]:
    reader = PatchReader(store)
    slices = read_slices(str(path), store.attributes["import"]["axis"])
    for i, values in enumerate(slices):
        if not np.array_equal(reader[i], values, equal_nan=values.dtype.kind == "f"):
            yield Problem(store.slide_id, f"patch {i}", f"differs from slice {i} of {path}")
