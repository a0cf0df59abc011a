"""Where an archive's bytes lie: a local folder, or any object store that fsspec knows."""

from pathlib import Path

from tiling.storage.base import SCRATCH, Storage
from tiling.storage.local import LocalStorage
from tiling.storage.objects import ObjectStorage

__all__ = ["SCRATCH", "LocalStorage", "ObjectStorage", "Storage", "open_storage"]


def open_storage(location: str) -> Storage:
    """Choose by the location: a URL with a protocol, or a path."""
    if "://" in location and not location.startswith("file://"):
        return ObjectStorage(location)
    return LocalStorage(str(Path(location.removeprefix("file://")).expanduser().absolute()))
