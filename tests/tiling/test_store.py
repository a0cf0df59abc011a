"""The archive: plain Zarr 3 for zarr-python, and the same twice from the same input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import BytesCodec, ZstdCodec

from tests.tiling.archives import change_attributes, cut, read_box
from tests.tiling.conftest import ENCODINGS
from tiling.codecs import Jpeg, Jpeg2k, JpegXl
from tiling.errors import CorruptStoreError, StoreError
from tiling.reader import PatchReader
from tiling.shard import crc32c
from tiling.storage import LocalStorage
from tiling.store import Archive, PatchStore, SlideWriter, slide_document
from wsi import open_slide
from wsi.synthetic import SvsSpec, write_svs

# slides.parquet lies beside the groups, as DESIGN says; zarr-python warns that it is no node.
beside = pytest.mark.filterwarnings("ignore:Object at slides.parquet is not recognized")

IDS = [name.replace(":", "-") for name in ENCODINGS]
CODECS = {"imagecodecs_jpeg": Jpeg, "imagecodecs_jpeg2k": Jpeg2k, "imagecodecs_jpegxl": JpegXl}


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@beside
def test_zarr_finds_every_slide_and_array(archive: Path) -> None:
    group = zarr.open_group(archive, mode="r")
    assert group.attrs["microtome"] == {"format": 1}
    assert sorted(group.group_keys()) == sorted(IDS) == Archive.open(str(archive)).slide_ids()
    names = {"coords", "patches", "status", "thumbnail", "tissue_fraction", "tissue_mask"}
    for slide_id in IDS:
        slide = group[slide_id]
        assert isinstance(slide, zarr.Group)
        assert set(slide.array_keys()) == names
        assert slide.attrs["microtome"] == Archive.open(str(archive))[slide_id].attributes


@pytest.mark.parametrize("slide_id", IDS)
def test_zarr_reads_what_we_read(archive: Path, slide_id: str) -> None:
    assert_zarr_agrees(archive, Archive.open(str(archive))[slide_id])


@pytest.mark.slides
def test_zarr_reads_copied_jpeg_2000(tmp_path: Path, tcga_slide: Path) -> None:
    store = cut(tmp_path / "a.zarr", tcga_slide, slide_mpp=0.25, patch_size_px=256, stride_px=768)
    assert store.attributes["encoding"]["codec"] == "imagecodecs_jpeg2k"
    assert_zarr_agrees(tmp_path / "a.zarr", store)


def assert_zarr_agrees(archive: Path, store: PatchStore) -> None:
    group = zarr.open_group(archive, mode="r")
    small = ("coords", "tissue_fraction", "status", "tissue_mask", "thumbnail")
    for name in small:
        theirs = group[f"{store.slide_id}/{name}"][...]
        ours = getattr(store, name)
        np.testing.assert_array_equal(ours, theirs)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    patches = group[f"{store.slide_id}/patches"]
    reader = PatchReader(store)
    assert patches.shape == (len(store), reader.patch_px, reader.patch_px, 3)
    assert len(store) > 0
    for i in range(len(store)):
        np.testing.assert_array_equal(reader[i], patches[i])
    np.testing.assert_array_equal(reader.read(range(len(store))), patches[:])


@pytest.mark.parametrize("slide_id", IDS)
def test_documents_are_those_that_zarr_writes(tmp_path: Path, archive: Path, slide_id: str) -> None:
    for path in sorted((archive / slide_id).glob("*/zarr.json")):
        ours = json.loads(path.read_text())
        theirs = zarr.create_array(tmp_path / path.parent.name, **spec_of(ours))
        assert ours == json.loads((theirs.store.root / "zarr.json").read_text())


def spec_of(document: dict[str, Any]) -> dict[str, Any]:
    """What zarr-python is asked for to get an array like this."""
    first, *others = document["codecs"]
    chunks = document["chunk_grid"]["configuration"]["chunk_shape"]
    shards = None
    if first["name"] == "sharding_indexed":
        shards, chunks = chunks, first["configuration"]["chunk_shape"]
        first, *others = first["configuration"]["codecs"]
    dtype = document["data_type"]
    plain = BytesCodec(endian=None if dtype == "uint8" else "little")
    return {
        "shape": document["shape"],
        "dtype": dtype,
        "chunks": chunks,
        "shards": shards,
        "serializer": CODECS[first["name"]].from_dict(first) if first["name"] in CODECS else plain,
        "compressors": ZstdCodec(level=3, checksum=False) if others else None,
        "fill_value": 0,
    }


def test_the_archive_holds_what_the_design_says(archive: Path) -> None:
    known = Archive.open(str(archive))["passthrough-jpeg"].attributes
    named = (
        "slide_id patient site labels source reader vendor levels mpp mpp_requested mpp_effective "
        "patch_size_px stride_px patch_size_level0 objective tissue encoding config_hash versions "
        "created"
    )
    assert set(named.split()) <= set(known)
    assert {"uri", "size", "mtime", "quick_hash"} <= set(known["source"])
    assert known["labels"] == {"label": "", "split": ""}
    assert (known["n_unreadable"], known["n_retried"]) == (0, 0)
    assert known["levels"][1] == {"width": 275, "height": 225, "downsample": 4.0}


def test_checksums_are_of_every_object_but_the_slides_own(archive: Path) -> None:
    for slide_id in IDS:
        store = Archive.open(str(archive))[slide_id]
        stored = files(archive / slide_id)
        del stored["zarr.json"]
        found = {key: [len(data), crc32c([data])] for key, data in stored.items()}
        assert found == store.attributes["checksums"]


def test_coords_and_pixels_belong_together(archive: Path, svs: Path) -> None:
    store = Archive.open(str(archive))["lossless"]
    reader = PatchReader(store)
    with open_slide(svs) as slide:
        for i, (x, y) in enumerate(store.coords.tolist()):
            np.testing.assert_array_equal(reader[i], read_box(slide, x, y, 100))


def test_the_same_input_gives_the_same_bytes(
    tmp_path: Path, svs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for run in ("first", "second"):
        for name in ("passthrough-jpeg", "jpeg:95", "lossless"):
            cut(tmp_path / run, svs, name.replace(":", "-"), **ENCODINGS[name])
    first, second = files(tmp_path / "first"), files(tmp_path / "second")
    assert first == second
    assert b'"created": "2023-11-14T22:13:20+00:00"' in first["lossless/zarr.json"]


def test_slides_of_several_shards(
    tmp_path: Path, svs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cut(tmp_path / "whole.zarr", svs, encoding="raw")
    monkeypatch.setattr("tiling.plan.SHARD_BYTES", 9 * (3 * 128 * 128 + 1024))
    parts = cut(tmp_path / "parts.zarr", svs, encoding="raw")
    assert parts.attributes["shard_patches"] == 9
    shards = sorted((tmp_path / "parts.zarr" / "slide" / "patches" / "c").iterdir())
    assert len(shards) == 7  # 56 patches, the last shard holds two
    every = range(len(whole))
    np.testing.assert_array_equal(PatchReader(parts).read(every), PatchReader(whole).read(every))
    assert_zarr_agrees(tmp_path / "parts.zarr", parts)


def test_a_slide_without_patches_is_an_archive_like_any_other(tmp_path: Path, svs: Path) -> None:
    store = cut(tmp_path / "a.zarr", svs, min_tissue=1.1)
    assert len(store) == 0
    assert store.coords.shape == (0, 2)
    patches = zarr.open_group(tmp_path / "a.zarr", mode="r")["slide/patches"]
    assert patches.shape == (0, 128, 128, 3)
    assert patches[:].shape == (0, 128, 128, 3)
    assert PatchReader(store).read([]).shape == (0, 128, 128, 3)
    assert list(PatchReader(store)) == []


def test_a_slide_of_one_patch(tmp_path: Path, svs: Path) -> None:
    store = cut(tmp_path / "a.zarr", svs, patch_size_px=800, encoding="lossless")
    assert len(store) == 1
    assert_zarr_agrees(tmp_path / "a.zarr", store)


def test_overwriting_replaces_all_of_a_slide(tmp_path: Path, svs: Path) -> None:
    cut(tmp_path / "a.zarr", svs)
    cut(tmp_path / "a.zarr", svs, patch_size_px=300, encoding="raw", overwrite=True)
    cut(tmp_path / "b.zarr", svs, patch_size_px=300, encoding="raw")
    replaced, fresh = (files(tmp_path / name / "slide") for name in ("a.zarr", "b.zarr"))
    assert replaced.keys() == fresh.keys()


def test_nothing_but_slides_is_left_in_the_archive(archive: Path) -> None:
    assert sorted(p.name for p in archive.iterdir()) == sorted(
        [*IDS, "slides.parquet", "zarr.json"]
    )


# Opening.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a.zarr"


def test_a_made_archive_is_empty(folder: Path) -> None:
    made = Archive.create(str(folder))
    assert made.slide_ids() == []
    assert list(made.stores()) == []
    assert made.location == str(folder)
    assert "slide" not in made
    assert dict(zarr.open_group(folder, mode="r").attrs) == {"microtome": {"format": 1}}
    assert Archive.create(str(folder)).slide_ids() == []


def test_slides_are_listed_when_they_are_committed(folder: Path) -> None:
    made = Archive.create(str(folder))
    for name in ("b", "a"):
        storage = LocalStorage(str(folder))
        storage.write(f"{name}/zarr.json", [slide_document({"n_patches": 3})])
    storage.write("unfinished/coords/zarr.json", [b"{}"])
    storage.write(".microtome/staging/c/zarr.json", [b"{}"])
    assert made.slide_ids() == ["a", "b"]
    assert "a" in made
    assert "unfinished" not in made
    assert [len(store) for store in made.stores()] == [3, 3]
    with pytest.raises(StoreError, match="holds no committed slide 'unfinished'"):
        made["unfinished"]


def test_no_archive_is_said(folder: Path) -> None:
    with pytest.raises(StoreError, match="no archive at"):
        Archive.open(str(folder))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"not json", "cannot read the archive"),
        (b'{"attributes": {}}', "its format is None"),
        (b'{"attributes": {"microtome": {"format": 2}}}', "its format is 2"),
        (b"{}", "its format is None"),
    ],
)
def test_what_is_no_archive_is_said(folder: Path, content: bytes, sentence: str) -> None:
    folder.mkdir()
    (folder / "zarr.json").write_bytes(content)
    with pytest.raises(StoreError, match=sentence):
        Archive.open(str(folder))


def test_a_folder_of_something_else_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.docx").write_bytes(b"years of work")
    with pytest.raises(StoreError, match="exists and is no archive"):
        Archive.create(str(folder))
    assert files(folder) == {"thesis.docx": b"years of work"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"attributes": null}', b"\xff"])
def test_a_damaged_slide_document_is_said(store: PatchStore, content: bytes) -> None:
    Path(store.storage.root, "slide", "zarr.json").write_bytes(content)
    with pytest.raises(CorruptStoreError, match=r"slide/zarr\.json is damaged"):
        Archive.open(store.storage.root)["slide"]


def test_the_slides_own_document_seals_itself(store: PatchStore) -> None:
    path = Path(store.storage.root, "slide", "zarr.json")
    assert path.read_bytes() == slide_document(store.attributes)
    change_attributes(store, n_patches=7)
    again = Archive.open(store.storage.root)["slide"]
    assert slide_document(again.attributes) != path.read_bytes()


def test_the_writer_remembers_what_it_wrote(tmp_path: Path) -> None:
    writer = SlideWriter(LocalStorage(str(tmp_path)), "s")
    writer.put("a", [b"123", b"456789"])
    assert writer.put_shard(2, [b"abc"], 2) == 3 + 36
    assert writer.checksums["a"] == [9, 0xE3069283]
    assert set(writer.checksums) == {"a", "patches/c/2/0/0/0"}


def test_a_made_slide_of_another_seed_is_another_source(tmp_path: Path, tissue_pixels: Any) -> None:
    hashes = set()
    for seed in (1, 2):
        path = tmp_path / f"{seed}.svs"
        write_svs(path, tissue_pixels, 300, SvsSpec(tile_px=128, downsamples=(1,), seed=seed))
        hashes.add(cut(tmp_path / "a.zarr", path, f"s{seed}").attributes["source"]["quick_hash"])
    assert len(hashes) == 2
