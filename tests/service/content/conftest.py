"""What the tests of this folder share."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr

from tests.service.planted import ARCHIVE, SLIDE_ID

SLIDE = f"/api/v1/slides/{SLIDE_ID}"

Bytes = npt.NDArray[np.uint8]


@pytest.fixture
def stored(work: Path) -> Any:
    """The planted slide as zarr-python opens it."""
    return zarr.open_group(work / ARCHIVE / SLIDE_ID, mode="r")


def damage(path: Path) -> None:
    """Change a byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
