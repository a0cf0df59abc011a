"""An archive of patches of two planted tissues, with labels and true masks."""

from pathlib import Path

import numpy as np
import pytest

from models.segmentation.storing import write_masks
from tests.models.probe.planted import Planted, plant
from tiling.labels import Labels, add_array
from tiling.store import Archive

PX, NAMES = 16, ("dark", "bright")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Two slides of 6 and 5 patches of 16 px; every mask is a column of its own width."""
    made = plant(tmp_path / "a.zarr", [Planted("s0", [0] * 6, "p0"), Planted("s1", [1] * 5, "p1")])
    for store in made.stores():
        values = np.array([[i % 2, 1] for i in range(len(store))], np.int8)
        labels = Labels(values, NAMES, "multilabel")
        add_array(made.storage, store.slide_id, "labels", labels.array())
        write_masks(store, "masks", masks_of(store.slide_id, len(store)), side_px=PX)
    return made


def masks_of(slide_id: str, count: int) -> list[np.ndarray]:
    """Give masks that can be told apart: the first i columns are of class 1, one row of none."""
    found = np.zeros((count, PX, PX), np.uint8)
    for i in range(count):
        found[i, :, : i + 1] = 1
        found[i, int(slide_id[1])] = 2
    return list(found)
