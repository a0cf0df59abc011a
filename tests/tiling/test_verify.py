"""Every kind of damage is found, and nothing that is whole is accused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.tiling.archives import Pixels, cut, decibel
from tests.tiling.conftest import ENCODINGS
from tiling.encoding import decode_patch, encode_patch
from tiling.errors import CorruptStoreError, TilingError
from tiling.reader import PatchReader
from tiling.shard import crc32c, shard_parts
from tiling.storage import LocalStorage
from tiling.store import Archive, PatchStore, slide_document
from tiling.verify import Problem, psnr, verify_store
from wsi import open_slide
from wsi.synthetic import SvsSpec, write_svs

IDS = [name.replace(":", "-") for name in ENCODINGS]


def find_problems(root: str, slide_id: str = "slide") -> list[Problem]:
    """Open and verify; what keeps the slide from being opened is a problem too."""
    try:
        return verify_store(Archive.open(root)[slide_id])
    except CorruptStoreError as err:
        return [Problem(slide_id, "zarr.json", str(err))]


def folder(store: PatchStore) -> Path:
    return Path(store.storage.root, store.slide_id)


def files(store: PatchStore) -> list[Path]:
    return sorted(p for p in folder(store).rglob("*") if p.is_file())


def seal(store: PatchStore, changed: dict[str, bytes], **attributes: object) -> None:
    """Write objects and make checksums fit, so that only their content can be wrong."""
    checksums = dict(store.attributes["checksums"])
    for key, data in changed.items():
        LocalStorage(str(folder(store))).write(key, [data])
        checksums[key] = [len(data), crc32c([data])]
    known = store.attributes | {"checksums": checksums} | attributes
    (folder(store) / "zarr.json").write_bytes(slide_document(known))


@pytest.mark.parametrize("slide_id", IDS)
def test_what_is_whole_has_no_problems(archive: Path, svs: Path, slide_id: str) -> None:
    store = Archive.open(str(archive))[slide_id]
    assert verify_store(store) == []
    with open_slide(svs) as slide:
        assert verify_store(store, slide) == []


def test_an_empty_slide_has_no_problems(tmp_path: Path, svs: Path) -> None:
    store = cut(tmp_path / "a.zarr", svs, min_tissue=1.1)
    with open_slide(svs) as slide:
        assert verify_store(store, slide) == []


def test_every_changed_byte_is_found(store: PatchStore) -> None:
    rng = np.random.default_rng(0)
    checked = 0
    for path in files(store):
        data = path.read_bytes()
        for at in rng.integers(0, len(data), 12):
            damaged = bytearray(data)
            damaged[at] ^= int(rng.integers(1, 256))
            path.write_bytes(damaged)
            problems = find_problems(store.storage.root)
            assert problems, f"byte {at} of {path} was changed unnoticed"
            assert problems[0].key in str(path)
            assert problems[0].slide_id == "slide"
            checked += 1
        path.write_bytes(data)
    assert checked == 12 * 13  # 6 arrays of two objects each, and the slide's own
    assert find_problems(store.storage.root) == []


def test_every_changed_bit_of_the_slides_document_is_found(store: PatchStore) -> None:
    """The document that holds the checksums has no other to vouch for it."""
    path = folder(store) / "zarr.json"
    data = path.read_bytes()
    whole = slide_document(store.attributes)
    assert data == whole
    storage = LocalStorage(store.storage.root)
    for at in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            reopened = PatchStore(storage, "slide")
        except CorruptStoreError:
            continue
        assert slide_document(reopened.attributes) != bytes(damaged), at


@pytest.mark.parametrize("how", ["cut", "empty", "longer", "missing"])
def test_every_file_that_is_not_whole_is_found(store: PatchStore, how: str) -> None:
    change: dict[str, Callable[[bytes], bytes]] = {
        "cut": lambda data: data[:-1],
        "empty": lambda _: b"",
        "longer": lambda data: data + b"\0",
    }
    for path in files(store):
        data = path.read_bytes()
        if how == "missing":
            path.unlink()
            if path.name == "zarr.json" and path.parent == folder(store):
                with pytest.raises(TilingError, match="no committed slide"):
                    find_problems(store.storage.root)
                path.write_bytes(data)
                continue
        else:
            path.write_bytes(change[how](data))
        (problem,) = find_problems(store.storage.root)
        assert problem.key in str(path)
        words = {"missing": "cannot be read", "cut": "were written", "longer": "were written"}
        if path.parent != folder(store):
            assert words.get(how, "bytes") in problem.sentence
        path.write_bytes(data)


def test_a_lost_folder_is_many_problems(store: PatchStore) -> None:
    shutil.rmtree(folder(store) / "coords")
    found = {problem.key for problem in find_problems(store.storage.root)}
    assert found == {"coords/zarr.json", "coords/c/0/0"}


def test_a_wrong_count_is_found(store: PatchStore) -> None:
    seal(store, {}, n_patches=55)
    found = find_problems(store.storage.root)
    assert {p.key for p in found} == {"coords", "tissue_fraction", "status", "patches"}
    assert all(p.sentence == "has 56 entries for 55 patches" for p in found)


def test_a_changed_attribute_is_found(store: PatchStore) -> None:
    path = folder(store) / "zarr.json"
    path.write_bytes(path.read_bytes().replace(b'"x": 0.25', b'"x": 0.26'))
    (problem,) = find_problems(store.storage.root)
    assert (problem.key, problem.sentence) == ("zarr.json", "is not what was written")


# Shards whose checksums fit what is wrong.


def rewrite(store: PatchStore, change: Callable[[list[bytes]], None]) -> None:
    reader = PatchReader(store)
    chunks = [reader.encoded(i) for i in range(len(reader))]
    change(chunks)
    seal(store, {"patches/c/0/0/0/0": b"".join(shard_parts(chunks, 56))})


def test_a_patch_that_does_not_decode_is_found(store: PatchStore) -> None:
    def damage(chunks: list[bytes]) -> None:
        chunks[7] = bytes(len(chunks[7]))
        chunks[9] = chunks[9][:300]

    rewrite(store, damage)
    found = find_problems(store.storage.root)
    assert [p.key for p in found] == ["patch 7", "patch 9"]
    assert all("does not decode as imagecodecs_jpeg" in p.sentence for p in found)


def test_a_patch_of_another_size_is_found(store: PatchStore) -> None:
    def damage(chunks: list[bytes]) -> None:
        pixels = PatchReader(store)[7]
        half = np.ascontiguousarray(pixels[:64])
        chunks[7] = encode_patch(half, PatchReader(store).encoding)

    rewrite(store, damage)
    (problem,) = find_problems(store.storage.root)
    assert (problem.key, problem.sentence) == ("patch 7", "decodes to (64, 128, 3)")


def test_missing_patches_are_found(store: PatchStore) -> None:
    rewrite(store, lambda chunks: chunks.__delitem__(slice(54, None)))
    found = find_problems(store.storage.root)
    assert [p.sentence for p in found] == ["patch 54 is missing", "patch 55 is missing"]


def test_a_broken_index_is_one_problem(store: PatchStore) -> None:
    key = "patches/c/0/0/0/0"
    data = bytearray(store.read(key))
    data[-20] ^= 1
    seal(store, {key: bytes(data)})
    (problem,) = find_problems(store.storage.root)
    assert (problem.key, problem.sentence) == (key, "the checksum of the shard index is wrong")


# Against the slide.


@pytest.mark.parametrize("name", [*ENCODINGS, "jpeg:10"])
def test_a_swapped_patch_is_found(tmp_path: Path, svs: Path, name: str) -> None:
    asked = ENCODINGS.get(name, {"encoding": "jpeg:10", "patch_size_px": 100})
    store = cut(tmp_path / "a.zarr", svs, **asked)
    with open_slide(svs) as slide:
        assert verify_store(store, slide) == []
        reader = PatchReader(store)
        order = np.argsort([patch.std() for patch in reader])
        one, other = sorted(map(int, order[[-1, -2]]))
        rooms = store.attributes["shard_patches"]
        chunks = [reader.encoded(i) for i in range(len(reader))]
        assert len(reader) == rooms
        chunks[one], chunks[other] = chunks[other], chunks[one]
        seal(store, {"patches/c/0/0/0/0": b"".join(shard_parts(chunks, rooms))})
        swapped = Archive.open(store.storage.root)["slide"]
        assert verify_store(swapped) == []
        found = verify_store(swapped, slide)
    assert [p.key for p in found] == [f"patch {one}", f"patch {other}"]
    assert all("differs from the slide, PSNR" in p.sentence for p in found)


def test_glass_for_glass_is_found_in_jpeg(tmp_path: Path, tissue_pixels: Pixels) -> None:
    """Two pieces of empty glass are alike, and yet not the same."""
    svs = tmp_path / "glass.svs"
    spec = SvsSpec(tile_px=128, downsamples=(1,), tissue_fraction=0.1)
    write_svs(svs, tissue_pixels, (600, 500), spec)
    store = cut(tmp_path / "a.zarr", svs, encoding="jpeg:95", patch_size_px=100)
    reader = PatchReader(store)
    chunks = [reader.encoded(i) for i in range(len(reader))]
    one, other = np.argsort([patch.std() for patch in reader])[:2].tolist()
    assert decibel(reader[one], reader[other]) > 30
    chunks[one] = chunks[other]
    seal(store, {"patches/c/0/0/0/0": b"".join(shard_parts(chunks, len(chunks)))})
    with open_slide(svs) as slide:
        found = verify_store(Archive.open(store.storage.root)["slide"], slide)
    assert [p.key for p in found] == [f"patch {one}"]


def test_moved_coordinates_are_found(store: PatchStore, svs: Path) -> None:
    moved = store.coords[::-1].astype("<i4").tobytes()
    seal(store, {"coords/c/0/0": moved})
    with open_slide(svs) as slide:
        found = verify_store(Archive.open(store.storage.root)["slide"], slide)
    assert len(found) > len(store) / 2


def test_patches_recorded_as_unreadable_are_not_compared(store: PatchStore, svs: Path) -> None:
    def whiten(chunks: list[bytes]) -> None:
        reader = PatchReader(store)
        chunks[3] = encode_patch(np.full_like(reader[3], 255), reader.encoding)

    rewrite(store, whiten)
    with open_slide(svs) as slide:
        changed = Archive.open(store.storage.root)["slide"]
        assert [p.key for p in verify_store(changed, slide)] == ["patch 3"]
        status = changed.status.copy()
        status[3] = 2
        seal(changed, {"status/c/0": status.tobytes()})
        assert verify_store(Archive.open(store.storage.root)["slide"], slide) == []


def test_a_level_whose_downsample_is_no_whole_number(tmp_path: Path, tissue_pixels: Pixels) -> None:
    """OpenSlide blends pixels there (downsample 4.004), which is no fault of the archive."""
    svs = tmp_path / "odd.svs"
    write_svs(svs, tissue_pixels, (1103, 903), SvsSpec(tile_px=64, downsamples=(1, 4)))
    store = cut(tmp_path / "a.zarr", svs, mpp=1.0, patch_size_px=64)
    assert (store.attributes["level"], store.attributes["encoding"]["label"]) == (1, "passthrough")
    with open_slide(svs) as slide:
        assert slide.levels[1].downsample % 1
        assert verify_store(store, slide) == []


def test_psnr_equals_its_definition() -> None:
    one, other = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
    assert psnr(one, other) == float("inf")
    other[0, 0, 0] = 12
    assert psnr(one, other) == pytest.approx(10 * np.log10(255**2 / (144 / 12)))
    assert psnr(other, one) == psnr(one, other)


def test_decoding_again_gives_the_same(archive: Path) -> None:
    reader = PatchReader(Archive.open(str(archive))["jpeg-95"])
    again = decode_patch(reader.encoded(0), reader.encoding)
    np.testing.assert_array_equal(again, reader[0])
