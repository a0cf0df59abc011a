"""Several archives as one data set against each of them alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.data import JoinedPatches, PatchDataset
from models.errors import DataError
from tests.models.data.conftest import import_set
from tests.tiling.importing.pictures import picture, save, write_csv


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six patches of one slide without labels."""
    root = tmp_path_factory.mktemp("plain")
    rows = []
    for i in range(6):
        save(root / "p0" / f"{i}.png", picture(900 + i))
        rows.append({"file": f"p0/{i}.png", "patient": "other"})
    import_set(write_csv(root / "set.csv", rows), root / "b.zarr", "none")
    return root / "b.zarr"


def test_batches_come_from_each_archive_in_the_order_asked_for(archive: Path, plain: Path) -> None:
    first, second = PatchDataset(str(archive)), PatchDataset(str(plain))
    joined = JoinedPatches([first, second])
    assert len(joined) == len(first) + len(second)
    wanted = [len(first) + 2, 0, len(first), 5, len(joined) - 1]
    batch = joined.__getitems__(wanted)
    alone = [(second, 2), (first, 0), (second, 0), (first, 5), (second, 5)]
    for row, (part, index) in enumerate(alone):
        one = part.__getitems__([index])
        assert torch.equal(batch.pixels[row], one.pixels[0])
        assert torch.equal(batch.coords[row], one.coords[0])
    assert batch.index.tolist() == wanted


def test_slides_are_numbered_through_and_unknown_labels_are_minus_one(
    archive: Path, plain: Path
) -> None:
    first, second = PatchDataset(str(archive)), PatchDataset(str(plain))
    joined = JoinedPatches([first, second])
    assert [s.patient for s in joined.slides] == ["p0", "p1", "p2", "p3", "other"]
    assert np.array_equal(joined.slide_of[-6:], [4] * 6)
    assert joined.label_names == first.label_names
    assert joined.labels is not None
    assert joined.labels[-6:].tolist() == [-1] * 6
    batch = joined.__getitems__([0, len(joined) - 1])
    assert batch.slide.tolist() == [0, 4]
    assert batch.labels is not None
    assert batch.labels.tolist() == [int(joined.labels[0]), -1]


def test_other_patch_sizes_and_missing_patches_are_refused(archive: Path, tmp_path: Path) -> None:
    save(tmp_path / "p0" / "0.png", picture(1, 16))
    import_set(write_csv(tmp_path / "s.csv", [{"file": "p0/0.png"}]), tmp_path / "c.zarr")
    parts = [PatchDataset(str(archive)), PatchDataset(str(tmp_path / "c.zarr"))]
    with pytest.raises(DataError, match="patches of one size"):
        JoinedPatches(parts)
    joined = JoinedPatches(parts[:1])
    with pytest.raises(IndexError, match="the data set has 24"):
        joined.__getitems__([24])
