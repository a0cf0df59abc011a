"""Masks beside patches: written, read, and handed to the training loop."""

import pickle
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import zarr

from models.augment import open_preset
from models.data import PatchDataset, iterate_batches
from models.errors import DataError, LabelsError
from models.segmentation.patches import MaskedPatches
from models.segmentation.storing import remove_masks, write_masks
from models.training.feed import Feed, Sampling, Share
from tests.models.segmentation.conftest import PX, masks_of
from tiling import zarrjson
from tiling.labels import add_array
from tiling.reader import PatchReader
from tiling.store import Archive

EVERY = np.stack(masks_of("s0", 6) + masks_of("s1", 5))


def _opened(archive: Archive, arrays: tuple[str, ...] = ("masks",)) -> MaskedPatches:
    return MaskedPatches(PatchDataset(archive.location), archive.location, arrays)


def test_masks_come_with_their_patches_in_any_order(archive: Archive) -> None:
    data, order = _opened(archive), np.array([7, 0, 10, 7, 3])
    batch = data.__getitems__(order)
    assert np.array_equal(batch.masks.numpy(), EVERY[order][:, None])
    plain = PatchDataset(archive.location).__getitems__(order)
    assert torch.equal(batch.pixels, plain.pixels)
    assert torch.equal(batch.labels, plain.labels)
    assert plain.masks is None
    assert len(data) == 11
    assert batch.to("cpu").masks is not None
    again = pickle.loads(pickle.dumps(data)).__getitems__(order)
    assert torch.equal(again.masks, batch.masks)
    data.close()


def test_unreadable_patches_are_left_out_with_their_masks(archive: Archive) -> None:
    status = zarrjson.small_array(np.array([0, 2, 0, 0, 0, 0], np.uint8), "u1")
    add_array(archive.storage, "s0", "status", status)
    data = _opened(archive)
    assert len(data) == 10
    assert np.array_equal(data.masks(range(10))[:, 0], np.delete(EVERY, 1, axis=0))


def test_several_opinions_are_read_by_zarr_too_and_in_shards(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.segmentation.storing.SHARD_BYTES", 4 * PX * PX)
    for store in archive.stores():
        other = [1 - mask // 2 for mask in masks_of(store.slide_id, len(store))]
        write_masks(store, "pseudo_last", other, side_px=PX, about={"made_of": "abc"})
    store = archive["s0"]
    group = zarr.open_group(archive.location, mode="r")
    read = group["s0/pseudo_last"]
    assert read.shards == (4, PX, PX)
    assert dict(read.attrs)["microtome"] == {"made_of": "abc"}
    assert np.array_equal(read[:], 1 - EVERY[:6] // 2)
    assert np.array_equal(PatchReader(store, "pseudo_last").read(range(6)), read[:])
    both = _opened(archive, ("pseudo_last", "masks")).masks([8])
    assert np.array_equal(both[0, 0], 1 - EVERY[8] // 2)
    assert np.array_equal(both[0, 1], EVERY[8])
    assert list(archive.slide_ids()) == ["s0", "s1"]


def test_masks_that_were_not_finished_are_not_there(archive: Archive) -> None:
    store = archive["s0"]

    def broken() -> Iterator[np.ndarray]:
        yield from EVERY[:3]
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write_masks(store, "masks", broken(), side_px=PX)
    with pytest.raises(LabelsError, match="s0 has no array 'masks' of masks; import it with its"):
        _opened(archive)
    write_masks(store, "masks", EVERY[:6], side_px=PX)
    assert len(_opened(archive)) == 11
    remove_masks(archive.storage, "s1", "masks")
    with pytest.raises(LabelsError, match="s1 has no array 'masks'"):
        _opened(archive)


def test_masks_of_another_size_or_number_are_refused(archive: Archive) -> None:
    store = archive["s0"]
    with pytest.raises(DataError, match="s0 has 6 patches, got 5 masks of masks"):
        write_masks(store, "masks", EVERY[:5], side_px=PX)
    with pytest.raises(DataError, match=r"must be uint8 of 16 x 16 px, got uint8 \(16, 15\)"):
        write_masks(store, "masks", [EVERY[0, :, 1:]], side_px=PX)
    write_masks(store, "masks", EVERY[:6, :8, :8], side_px=8)
    with pytest.raises(DataError, match=r"s0/masks is uint8 \(6, 8, 8\); masks of these patches"):
        _opened(archive)


def test_the_feed_moves_masks_with_their_patches(archive: Archive) -> None:
    patches = PatchDataset(archive.location)
    preset = open_preset("wsss-cls", side_px=PX, mean=(0.0,) * 3, std=(1.0,) * 3, d4=False)
    sampling = Sampling(np.arange(11), patches.slide_of, 8, seed=1)
    feed = Feed(_opened(archive), sampling, preset, Share(0, 1, 2), torch.device("cpu"))
    [batch] = feed.batches(0, 1)
    first, second = feed.views(batch, 0)
    assert first.masks.shape == second.masks.shape == (4, 1, PX, PX)
    moved = 0
    for views in (first, second):
        assert views.label.shape == (4, 2)
        pixels = patches.__getitems__(views.patch).pixels.numpy()
        for row, number in enumerate(views.patch.tolist()):
            image = (views.images[0][row] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            flips = [(), (0,), (1,), (0, 1)]
            [axes] = [a for a in flips if np.array_equal(np.flip(pixels[row], a), image)]
            assert np.array_equal(views.masks[row, 0].numpy(), np.flip(EVERY[number], axes))
            moved += bool(axes)
    assert moved


def test_reading_processes_give_masks_too(archive: Archive) -> None:
    order = np.arange(8).reshape(2, 4)
    found = [batch.masks for batch in iterate_batches(_opened(archive), order, workers=1)]
    assert np.array_equal(torch.cat(found).numpy(), EVERY[:8, None])
