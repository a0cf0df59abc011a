"""Reading SpatialData stores of patches without spatialdata, which loads whole tables."""

import warnings
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from numpy.typing import NDArray

from models.bags.bag import BLOCK_ROWS, Rows
from models.bags.table import ForeignBag
from models.errors import BagError

TILES = "tiles"
SUFFIX = f"_{TILES}"
SHAPES = f"shapes/{TILES}/shapes.parquet"


def consolidate(path: Path) -> None:
    """Gather all documents in the root's, as spatialdata does."""
    with warnings.catch_warnings():  # Zarr 3 has yet to specify it, and knows no Parquet files
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
        warnings.filterwarnings("ignore", "Object at shapes.parquet is not recognized")
        zarr.consolidate_metadata(path)


def read(folder: Path, extension: str) -> Iterator[ForeignBag]:
    """Read every store of a folder.

    Raises:
        BagError: there is none, or one has no table of features, or several.
    """
    found = sorted(folder.glob(f"*{extension}"))
    if not found:
        raise BagError(f"{folder} holds no *{extension}")
    return (_bag(path, extension) for path in found)


def _bag(path: Path, extension: str) -> ForeignBag:
    try:
        root = _open(path)
        table = root[f"tables/{_table_name(path, root)}"]
        tile_ids = np.asarray(table["obs/tile_id"][:])
        features = table["X"]
        positions = _positions(_shapes(path), tile_ids)
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as err:
        raise BagError(f"{path} is no store of patches and features: {err}") from err

    def take(indices: NDArray[np.int64]) -> Rows:
        return _take(features, indices)

    name = path.name.removesuffix(extension)
    return ForeignBag(name, positions, "corner", features.shape[1], features.dtype, take)


def _open(path: Path) -> Any:
    if path.is_dir():
        return zarr.open_group(path, mode="r")
    return zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r")


def _table_name(path: Path, root: Any) -> str:
    names = sorted(name for name in root["tables"].group_keys() if name.endswith(SUFFIX))
    if len(names) != 1:
        there = ", ".join(names) or "none"
        raise BagError(f"{path} must have one table whose name ends with {SUFFIX}, it has: {there}")
    return str(names[0])


def _shapes(path: Path) -> pa.Table:
    if path.is_dir():
        return pq.read_table(path / SHAPES)
    with zipfile.ZipFile(path) as archive:
        return pq.read_table(BytesIO(archive.read(SHAPES)))


def _positions(shapes: pa.Table, tile_ids: NDArray[Any]) -> NDArray[Any]:
    """Corners `(n, 2)` of the rows' tiles, which are linked by `tile_id`."""
    known = shapes["tile_id"].to_numpy()
    order = np.argsort(known)
    places = np.searchsorted(known, tile_ids, sorter=order)
    rows = order[np.minimum(places, len(order) - 1)]
    if not np.array_equal(known[rows], tile_ids):
        raise BagError(f"features of patches that are not among the {TILES}")
    corners = np.stack([shapes["x"].to_numpy(), shapes["y"].to_numpy()], axis=1)
    found: NDArray[Any] = corners[rows]
    return found


def _take(features: Any, indices: NDArray[np.int64]) -> Rows:
    """Read rows at ascending indices in blocks; single rows are slow to ask for."""
    out = np.empty((len(indices), features.shape[1]), features.dtype)
    for first in range(0, features.shape[0], BLOCK_ROWS):
        low, high = np.searchsorted(indices, (first, first + BLOCK_ROWS))
        if low < high:
            out[low:high] = features[first : first + BLOCK_ROWS][indices[low:high] - first]
    return out
