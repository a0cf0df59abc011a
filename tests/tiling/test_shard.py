"""Shards that we put together, read by zarr-python; checksums against a bitwise CRC-32C."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from tests.tiling.archives import Pixels
from tiling.encoding import RAW, Encoding, encode_patch, parse_encoding
from tiling.errors import CorruptStoreError
from tiling.shard import MISSING, crc32c, index_bytes, read_index, shard_parts
from tiling.storage import LocalStorage
from tiling.store import SlideWriter


def slow_crc32c(data: bytes) -> int:
    """Bit by bit, RFC 3720: reflected polynomial 0x82F63B78."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def patches(count: int, side: int = 8) -> Pixels:
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def write_array(folder: Path, pixels: Pixels, capacity: int, encoding: Encoding) -> None:
    writer = SlideWriter(LocalStorage(str(folder)), "slide")
    for number, first in enumerate(range(0, len(pixels), capacity)):
        chunks = [encode_patch(patch, encoding) for patch in pixels[first : first + capacity]]
        writer.put_shard(number, chunks, capacity)
    writer.put_patches_document(len(pixels), pixels.shape[1], capacity, encoding)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_crc32c_equals_a_bitwise_twin(data: bytes, at: int) -> None:
    assert crc32c([data[:at], data[at:]]) == slow_crc32c(data)


def test_crc32c_of_the_published_vector() -> None:
    assert crc32c([b"1234", b"56789"]) == 0xE3069283
    assert crc32c([]) == 0


@pytest.mark.parametrize("text", ["raw", "lossless"])
@pytest.mark.parametrize(
    ("count", "capacity"),
    [
        pytest.param(0, 1, id="no-patch"),
        pytest.param(1, 1, id="one-patch"),
        pytest.param(1, 4, id="one-patch-in-a-roomy-shard"),
        pytest.param(8, 4, id="whole-shards"),
        pytest.param(9, 4, id="last-shard-holds-one"),
        pytest.param(11, 4, id="last-shard-lacks-one"),
        pytest.param(5, 1, id="a-shard-per-patch"),
    ],
)
def test_zarr_reads_our_shards(tmp_path: Path, text: str, count: int, capacity: int) -> None:
    pixels = patches(count)
    write_array(tmp_path, pixels, capacity, parse_encoding(text, ""))
    array = zarr.open_array(tmp_path / "slide" / "patches", mode="r")
    assert array.shape == pixels.shape
    assert array.shards == (capacity, 8, 8, 3)
    assert array.chunks == (1, 8, 8, 3)
    np.testing.assert_array_equal(array[:], pixels)


def test_shard_bytes_equal_those_of_zarr(tmp_path: Path) -> None:
    pixels = patches(7)
    write_array(tmp_path, pixels, 4, Encoding(RAW))
    theirs = zarr.create_array(
        tmp_path / "theirs",
        shape=pixels.shape,
        dtype="u1",
        chunks=(1, 8, 8, 3),
        shards=(4, 8, 8, 3),
        compressors=None,
        fill_value=0,
    )
    theirs[:] = pixels
    for number in range(2):
        key = f"c/{number}/0/0/0"
        ours = (tmp_path / "slide" / "patches" / key).read_bytes()
        data = (tmp_path / "theirs" / key).read_bytes()
        # zarr may lay the chunks of a shard in another order; what its index says counts
        assert len(ours) == len(data)
        for blob in (ours, data):
            index = read_index(blob[-index_bytes(4) :], 4, len(blob))
            for chunk, (start, length) in enumerate(index.tolist()):
                patch = number * 4 + chunk
                assert (start == int(MISSING)) == (patch >= len(pixels))
                if patch < len(pixels):
                    assert blob[start : start + length] == pixels[patch].tobytes()


def test_the_index_says_where_chunks_are() -> None:
    chunks = [b"one", b"", b"three"]
    shard = b"".join(shard_parts(chunks, 5))
    assert len(shard) == 8 + index_bytes(5)
    index = read_index(shard[-index_bytes(5) :], 5, len(shard))
    assert index.tolist() == [[0, 3], [3, 0], [3, 5], [int(MISSING)] * 2, [int(MISSING)] * 2]
    assert int.from_bytes(shard[-4:], "little") == slow_crc32c(shard[8:-4])


def test_any_changed_byte_of_the_index_is_noticed(tmp_path: Path) -> None:
    write_array(tmp_path, patches(3), 3, Encoding(RAW))
    path = tmp_path / "slide" / "patches" / "c" / "0" / "0" / "0" / "0"
    shard = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in range(len(shard) - index_bytes(3), len(shard)):
        damaged = bytearray(shard)
        damaged[at] ^= int(rng.integers(1, 256))
        with pytest.raises(CorruptStoreError, match="checksum of the shard index"):
            read_index(bytes(damaged[-index_bytes(3) :]), 3, len(shard))
    path.write_bytes(bytes(damaged))
    with pytest.raises(ValueError, match="checksum"):
        zarr.open_array(tmp_path / "slide" / "patches", mode="r")[:]


@pytest.mark.parametrize("size", [0, 1, 51, 53])
def test_an_index_of_another_length_is_no_index(size: int) -> None:
    with pytest.raises(CorruptStoreError, match=f"index has {size} bytes, not 52"):
        read_index(bytes(size), 3, 1000)


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 101), (101, 0), (60, 41), (2**64 - 2, 3), (3, 2**64 - 2), (50, 2**64 - 1)],
)
def test_chunks_outside_the_shard_are_noticed(start: int, length: int) -> None:
    table = np.array([[0, 100], [start, length]], "<u8").tobytes()
    tail = table + slow_crc32c(table).to_bytes(4, "little")
    with pytest.raises(CorruptStoreError, match="lies outside it"):
        read_index(tail, 2, 100 + len(tail))
