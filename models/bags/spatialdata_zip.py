"""SpatialData stores as one ZIP file per slide, for file systems that count files.

zarr opens the file as it is; spatialdata and wsidata want it unpacked into a folder `<slide>.zarr`.
"""

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from models.bags import spatialstore
from models.bags.bag import Bag
from models.bags.sink import Sink
from models.bags.spatialdata import CSV_IDS, DTYPES, finish, write_store
from models.bags.table import ForeignBag

__all__ = ["CSV_IDS", "DTYPES", "finish", "read", "write"]

EXTENSION = ".zarr.zip"


def write(bag: Bag, sink: Sink, dtype: np.dtype[Any]) -> None:
    """Write one slide: its store beside the file, then the file out of it.

    Raises:
        MissingExtraError: spatialdata is not installed.
    """
    if not len(bag):
        return
    with sink.file(f"{bag.name}{EXTENSION}") as path:
        store = path.with_name(f"{path.name}.tmp")  # a name that a later run clears away
        try:
            write_store(store, bag, dtype)
            _pack(store, path)
        finally:
            shutil.rmtree(store, ignore_errors=True)


def read(folder: Path) -> Iterator[ForeignBag]:
    """Read every packed store of a folder.

    Raises:
        BagError: there is none, or one has no table of features, or several.
    """
    return spatialstore.read(folder, EXTENSION)


def _pack(store: Path, path: Path) -> None:
    """Pack files as they are and without their times; the root's document is the first."""
    names = sorted(
        file.relative_to(store).as_posix() for file in store.rglob("*") if file.is_file()
    )
    names.sort(key=lambda name: name != "zarr.json")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            with (
                (store / name).open("rb") as file,
                archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member,
            ):
                shutil.copyfileobj(file, member, 1 << 20)
