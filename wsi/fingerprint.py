"""A slide file's identity without reading all of it: size, time, and a hash of three samples."""

import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wsi.errors import UnreadableSlideError

SAMPLE_BYTES = 64 * 1024
DICOM = frozenset({".dcm", ".dicom"})
HAMAMATSU = frozenset({".vms", ".vmu"})

# What a damaged DICOM header makes pydicom raise, besides its own error.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    struct.error,
)

ReadRange = Callable[[int, int], bytes]


def fingerprint(location: str) -> dict[str, Any]:
    """What identifies the slide's bytes: uri, size (bytes), mtime (Unix seconds), quick_hash.

    The hash is SHA-256 of the size, the first, middle and last 64 KiB, and the names and sizes of
    files that belong to the slide (MRXS and VMS data, further files of a DICOM series). A slide
    copied elsewhere keeps its hash. Takes a path or an fsspec URL; mtime is None where unknown.

    Raises:
        UnreadableSlideError: no such file, or it cannot be read.
    """
    try:
        return _remote(location) if "://" in location else _local(location)
    except FileNotFoundError as err:
        raise UnreadableSlideError(f"{location}: no such file") from err
    except OSError as err:
        raise UnreadableSlideError(f"{location}: cannot be read: {err}") from err


def _local(location: str) -> dict[str, Any]:
    path = Path(location)
    with path.open("rb") as file:
        status = os.fstat(file.fileno())

        def read(start: int, end: int) -> bytes:
            file.seek(start)
            return file.read(end - start)

        digest = _hash(status.st_size, read, companions(path))
    return {
        "uri": str(path.absolute()),
        "size": status.st_size,
        "mtime": status.st_mtime,
        "quick_hash": digest,
    }


def _remote(location: str) -> dict[str, Any]:
    from fsspec.core import url_to_fs

    files, path = url_to_fs(location)
    size = int(files.size(path))

    def read(start: int, end: int) -> bytes:
        return bytes(files.cat_file(path, start=start, end=end))

    return {
        "uri": location,
        "size": size,
        "mtime": _modified(files, path),
        "quick_hash": _hash(size, read, []),
    }


def _modified(files: Any, path: str) -> float | None:
    try:
        return float(files.modified(path).timestamp())
    except (NotImplementedError, KeyError, AttributeError):
        return None  # http and others do not tell


def _hash(size: int, read: ReadRange, others: list[tuple[str, int]]) -> str:
    digest = hashlib.sha256(size.to_bytes(8, "little"))
    for start in (0, max(0, (size - SAMPLE_BYTES) // 2), max(0, size - SAMPLE_BYTES)):
        digest.update(read(start, min(start + SAMPLE_BYTES, size)))
    for name, length in others:
        digest.update(f"{name}\0{length}\0".encode())
    return digest.hexdigest()


def companions(path: Path) -> list[tuple[str, int]]:
    """Names (relative to the slide's folder) and sizes of the other files of a slide, sorted."""
    extension = path.suffix.lower()
    if extension == ".mrxs":
        found = _files_in(path.with_suffix(""))
    elif extension in HAMAMATSU:
        found = _named_in(path)
    elif extension in DICOM:
        found = _same_series(path)
    else:
        found = []
    pairs = ((file.relative_to(path.parent).as_posix(), file.stat().st_size) for file in found)
    return sorted(pairs)


def _files_in(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def _named_in(path: Path) -> list[Path]:
    """Files beside a Hamamatsu index that it names; it is an INI file of key=value lines."""
    values = (line.partition("=")[2].strip() for line in path.read_text("latin-1").splitlines())
    named = {path.parent / value for value in values if value and "/" not in value}
    return [file for file in named if file.is_file() and file != path]


def _same_series(path: Path) -> list[Path]:
    series = _series(path)
    beside = (file for file in path.parent.iterdir() if file.suffix.lower() in DICOM)
    return [file for file in beside if file != path and series and _series(file) == series]


def _series(path: Path) -> str | None:
    """The DICOM series that a file belongs to; None where it is no DICOM."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    tag = "SeriesInstanceUID"
    try:
        return str(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[tag])[tag].value)
    except (InvalidDicomError, *DAMAGE):
        return None
