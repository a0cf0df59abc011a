"""Masks that segmentation stores are checked with the slide that they belong to."""

from pathlib import Path

import numpy as np
import pytest

from models.segmentation import storing
from models.segmentation.storing import write_masks
from tests.tiling.archives import cut
from tiling import zarrjson
from tiling.shard import shard_parts
from tiling.store import PatchStore
from tiling.verify import verify_store
from wsi.synthetic import SvsSpec, write_svs

PX = 32


@pytest.fixture
def masked(tmp_path: Path, cmu_slide: Path, monkeypatch: pytest.MonkeyPatch) -> PatchStore:
    """A small slide of twelve patches, with masks in three shards."""
    import tifffile

    tissue = np.asarray(tifffile.imread(cmu_slide, key=0))[800:900, 1000:1100]
    spec = SvsSpec(tile_px=64, mpp=0.5, downsamples=(1,), tissue_fraction=1.0)
    write_svs(tmp_path / "s.svs", np.ascontiguousarray(tissue), (256, 192), spec)
    store = cut(tmp_path / "a.zarr", tmp_path / "s.svs", patch_size_px=64)
    monkeypatch.setattr(storing, "SHARD_BYTES", 5 * PX**2)
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 4, (len(store), PX, PX)).astype(np.uint8)
    write_masks(store, "pseudo_last", masks, side_px=PX, about={"made_of": "abc"})
    return store


def _files(store: PatchStore) -> list[Path]:
    place = Path(store.storage.root, store.slide_id, "pseudo_last")
    return sorted(path for path in place.rglob("*") if path.is_file())


def test_masks_that_are_whole_have_no_problems(masked: PatchStore) -> None:
    assert len(masked) == 12
    assert len(_files(masked)) == 1 + 3
    assert verify_store(masked) == []


def test_every_changed_byte_of_masks_is_found(masked: PatchStore) -> None:
    rng = np.random.default_rng(1)
    for path in _files(masked):
        data = path.read_bytes()
        for at in rng.integers(0, len(data), 8):
            damaged = bytearray(data)
            damaged[at] ^= int(rng.integers(1, 256))
            path.write_bytes(damaged)
            problems = verify_store(masked)
            assert problems, f"byte {at} of {path} was changed unnoticed"
            assert all(problem.key in str(path) for problem in problems)
        path.unlink()
        # without its document an array is not there; without a shard it is damaged
        assert bool(verify_store(masked)) == (path.name != "zarr.json")
        path.write_bytes(data)
    assert verify_store(masked) == []


def test_masks_of_earlier_versions_are_decoded(masked: PatchStore) -> None:
    document = masked.document("pseudo_last")
    document["attributes"] = {"microtome": {"made_of": "abc"}}
    (shard, *_, path) = _files(masked)
    path.write_bytes(zarrjson.dumps(document))
    assert verify_store(masked) == []
    shard.write_bytes(b"".join(shard_parts([b"no zstd"] * 3, 5)))
    sentences = [problem.sentence for problem in verify_store(masked)]
    assert [sentence.partition(":")[0] for sentence in sentences[:3]] == [
        "entry 0",
        "entry 1",
        "entry 2",
    ]
    assert sentences[3:] == ["entry 3 is missing", "entry 4 is missing"]
    shard.write_bytes(b"short")
    (problem,) = verify_store(masked)
    assert "the shard index has 5 bytes" in problem.sentence
