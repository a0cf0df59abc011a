"""Batches of patches against zarr-python, slide by slide."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from models.data import PatchDataset, SlideInfo, readers
from models.data.loading import iterate_batches
from models.errors import DataError
from tests.models.data.conftest import COUNTS, import_set
from tests.tiling.importing.pictures import picture, save, write_csv
from tiling.epochs import epoch_order
from tiling.errors import CorruptStoreError, StoreError
from tiling.sampling import balanced, class_weights, k_per_slide
from tiling.store import Archive
from tiling.subset import fraction

GOOD = sum(COUNTS) - 1


@pytest.fixture(scope="module")
def expected(archive: Path) -> np.ndarray:
    """All patches as zarr-python reads them, the unreadable one left out."""
    group = zarr.open_group(str(archive), mode="r")
    every = [np.asarray(group[f"p{i}/patches"][:]) for i in range(4)]
    every[3] = np.delete(every[3], 2, axis=0)
    return np.concatenate(every)


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_are_what_zarr_python_reads(
    archive: Path, expected: np.ndarray, threads: int
) -> None:
    data = PatchDataset(str(archive), threads=threads)
    assert len(data) == GOOD
    assert (data.patch_shape, data.dtype) == ((32, 32, 3), np.dtype("u1"))
    rng = np.random.default_rng(0)
    for _ in range(5):
        indices = rng.integers(0, GOOD, 17)
        batch = data.__getitems__(indices.tolist())
        assert batch.pixels.dtype == torch.uint8
        np.testing.assert_array_equal(batch.pixels.numpy(), expected[indices])
        np.testing.assert_array_equal(batch.index.numpy(), indices)


def test_metadata_belongs_to_its_patch(archive: Path) -> None:
    data = PatchDataset(str(archive))
    wanted = [GOOD - 1, 0, 7, 8, 19, 9]
    batch = data.__getitems__(wanted)
    assert batch.slide.tolist() == [3, 0, 1, 2, 2, 2]
    assert batch.coords.tolist() == [[4, 3], [0, 0], [0, 1], [0, 2], [11, 2], [1, 2]]
    assert batch.coords.dtype == torch.int32
    assert batch.labels is not None
    assert batch.labels.tolist() == [(3 + 4) % 3, 0, 1, 2, (2 + 11) % 3, 0]
    assert batch.partition is not None
    assert batch.partition.tolist() == [-1, -1, -1, 0, 3, 1]
    assert (batch.slide.dtype, batch.labels.dtype) == (torch.int64, torch.int64)
    assert data.label_names == ("a", "b", "c")
    assert data.slides[2] == SlideInfo("p2", "p2", "H", "", "train")
    np.testing.assert_array_equal(data.slide_of[wanted], batch.slide.numpy())
    np.testing.assert_array_equal(data.coords[wanted], batch.coords.numpy())


def test_one_patch_is_a_batch_of_one(archive: Path, expected: np.ndarray) -> None:
    data = PatchDataset(str(archive))
    batch = data[-1]
    assert len(batch) == 1
    assert batch.index.tolist() == [GOOD - 1]
    np.testing.assert_array_equal(batch.pixels[0].numpy(), expected[-1])
    assert len(data.__getitems__([])) == 0


def test_unreadable_patches_come_only_when_asked_for(archive: Path) -> None:
    data = PatchDataset(str(archive), unreadable=True)
    assert len(data) == sum(COUNTS)
    white = data[sum(COUNTS[:3]) + 2]
    assert (white.pixels == 255).all()
    assert white.labels is not None
    assert white.labels.tolist() == [(3 + 2) % 3]


def test_slides_may_be_chosen(archive: Path, expected: np.ndarray) -> None:
    data = PatchDataset(str(archive), ["p2", "p0"])
    assert [slide.slide_id for slide in data.slides] == ["p0", "p2"]
    assert len(data) == COUNTS[0] + COUNTS[2]
    first = data.__getitems__([COUNTS[0]])
    np.testing.assert_array_equal(first.pixels[0].numpy(), expected[COUNTS[0] + COUNTS[1]])


@pytest.mark.parametrize("index", [GOOD, -GOOD - 1])
def test_no_such_patch(archive: Path, index: int) -> None:
    with pytest.raises(IndexError, match=f"no patch {index}: the data set has {GOOD}"):
        PatchDataset(str(archive)).__getitems__([0, index])


def test_no_such_slides(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no committed slide 'q'"):
        PatchDataset(str(archive), ["p0", "q"])
    with pytest.raises(DataError, match="the slide 'p0' is named twice"):
        PatchDataset(str(archive), ["p0", "p0"])
    Archive.create(str(tmp_path / "empty.zarr"))
    with pytest.raises(DataError, match="holds no slides that could be read"):
        PatchDataset(str(tmp_path / "empty.zarr"))


def test_patches_of_two_sizes_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(0, 32))
    save(tmp_path / "b.png", picture(1, 48))
    rows = [{"file": "a.png", "slide": "a"}, {"file": "b.png", "slide": "b"}]
    import_set(write_csv(tmp_path / "s.csv", rows), tmp_path / "a.zarr")
    with pytest.raises(DataError, match="a has 32 x 32 x 3 uint8, but b has 48 x 48 x 3 uint8"):
        PatchDataset(str(tmp_path / "a.zarr"))
    assert len(PatchDataset(str(tmp_path / "a.zarr"), ["b"])) == 1


def test_labels_of_two_meanings_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png", picture(0))
        row = {"file": f"{name}.png", "slide": name, "label": f"tumour {name}"}
        import_set(write_csv(tmp_path / f"{name}.csv", [row]), tmp_path / "a.zarr")
    with pytest.raises(DataError, match="a has classes of tumour a, b has classes of tumour b"):
        PatchDataset(str(tmp_path / "a.zarr"))
    data = PatchDataset(str(tmp_path / "a.zarr"), labels=False)
    assert data.labels is None
    assert data[1].labels is None


def test_several_labels_come_as_a_table(tmp_path: Path) -> None:
    for name in ("x[10]", "y[01]"):
        save(tmp_path / "in" / f"{name}.png", picture(0))
    import_set(tmp_path / "in", tmp_path / "a.zarr")
    batch = PatchDataset(str(tmp_path / "a.zarr")).__getitems__([1, 0])
    assert batch.labels is not None
    assert (batch.labels.tolist(), batch.labels.dtype) == ([[0, 1], [1, 0]], torch.int8)


def test_samplers_take_what_it_tells(archive: Path) -> None:
    data = PatchDataset(str(archive))
    assert data.labels is not None
    order = epoch_order(lambda rng: balanced(data.slide_of, rng), seed=1, epoch=0)
    batch = data.__getitems__(order)
    counts = np.bincount(batch.slide.numpy())
    assert counts.max() - counts.min() <= 1
    batches = epoch_order(
        lambda rng: k_per_slide(data.slide_of, rng, per_slide=2, slides_per_batch=2),
        seed=1,
        epoch=0,
    )
    for drawn in iterate_batches(data, batches):
        assert sorted(np.bincount(drawn.slide.numpy()).tolist())[-2:] == [2, 2]
    assert len(class_weights(data.labels)) == GOOD
    assert 0 < len(fraction(data.slide_of, 0.5, seed=0, labels=data.labels)) < GOOD


def test_it_pickles_without_what_is_open(archive: Path, expected: np.ndarray) -> None:
    data = PatchDataset(str(archive), threads=2)
    data.__getitems__(range(GOOD))
    copied = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(copied.__getitems__(range(GOOD)).pixels.numpy(), expected)


def test_closing_is_not_the_end(archive: Path, expected: np.ndarray) -> None:
    data = PatchDataset(str(archive), threads=2)
    data.__getitems__([0, 1])
    data.close()
    np.testing.assert_array_equal(data[5].pixels[0].numpy(), expected[5])


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - links that vanish meanwhile


def test_few_descriptors_are_enough(
    archive: Path, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "OPEN_FILES", 2)
    monkeypatch.setattr(readers, "OPEN_READERS", 3)
    data = PatchDataset(str(archive), threads=1)
    before = descriptors()
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(GOOD)
        np.testing.assert_array_equal(data.__getitems__(order).pixels.numpy(), expected[order])
        assert descriptors() <= before + 2


def test_damage_is_said(tmp_path: Path) -> None:
    files = [save(tmp_path / "in" / f"{i}.jpg", picture(i)) for i in range(3)]
    import_set(tmp_path / "in", tmp_path / "a.zarr")
    shard = tmp_path / "a.zarr/in/patches/c/0/0/0/0"
    data = files[1].read_bytes()
    shard.write_bytes(shard.read_bytes().replace(data, bytes(len(data))))
    for threads in (1, 2):
        with pytest.raises(CorruptStoreError, match="stored patch does not decode"):
            PatchDataset(str(tmp_path / "a.zarr"), threads=threads).__getitems__([0, 1, 2])
