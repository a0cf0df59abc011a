"""Files that are there wholly or not at all: checkpoints of encoders and of slide classifiers."""

import os
from pathlib import Path
from uuid import uuid4


def write_whole(target: Path, data: bytes) -> None:
    """Write beside the target, flush to disk, rename over it, flush the folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
