"""Files that are there wholly or not at all: checkpoints of encoders and of slide classifiers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

UNFINISHED = ".tmp"
"""Ends the name of what a killed process may leave beside a target: `.<target>.<random>.tmp`."""


def write_whole(target: Path, data: bytes) -> None:
    """Write beside the target, flush to disk, rename over it, flush the folder."""
    with replacing(target) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path beside the target to write to; it takes the target's place when all went well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(UNFINISHED, f".{target.name}.", target.parent) as folder:
        temporary = Path(folder) / target.name
        temporary.touch()
        mode = temporary.stat().st_mode  # safetensors' writer makes files for the owner alone
        yield temporary
        temporary.chmod(mode)
        flush(temporary)
        temporary.replace(target)
    flush(target.parent)


def flush(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, last through a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
