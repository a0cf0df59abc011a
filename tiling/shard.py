"""The bytes of one shard, per the Zarr 3 sharding codec (index at the end, crc32c).

https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/: chunks, then one
little-endian u8 pair (offset, length) per chunk, then the crc32c of those pairs. Already encoded
chunks cannot be handed to zarr-python, so the shard is put together here.
"""

from collections.abc import Sequence

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from tiling.errors import CorruptStoreError

MISSING = np.uint64(2**64 - 1)
CHECKSUM_BYTES = 4


def index_bytes(capacity: int) -> int:
    """Size of the index of a shard that has room for `capacity` chunks."""
    return 16 * capacity + CHECKSUM_BYTES


def shard_parts(chunks: Sequence[bytes], capacity: int) -> list[bytes]:
    """Give what to write one after the other: the chunks, then the index.

    Chunks that a last shard lacks are marked as missing.
    """
    lengths = np.fromiter(map(len, chunks), np.uint64, len(chunks))
    index = np.full((capacity, 2), MISSING, "<u8")
    index[: len(chunks), 0] = np.cumsum(lengths) - lengths
    index[: len(chunks), 1] = lengths
    table = index.tobytes()
    return [*chunks, table, _checksum(table)]


def read_index(tail: bytes, capacity: int, shard_bytes: int) -> NDArray[np.uint64]:
    """Read the index `(capacity, 2)` as offset, length from the last bytes of a shard.

    Raises:
        CorruptStoreError: the checksum does not fit, or a chunk lies outside the shard.
    """
    size = index_bytes(capacity)
    if len(tail) != size:
        raise CorruptStoreError(f"the shard index has {len(tail)} bytes, not {size}")
    table = tail[:-CHECKSUM_BYTES]
    if _checksum(table) != tail[-CHECKSUM_BYTES:]:
        raise CorruptStoreError("the checksum of the shard index is wrong")
    index = np.frombuffer(table, "<u8").reshape(capacity, 2)
    start, length = index[index[:, 0] != MISSING].T
    room = np.uint64(shard_bytes - size)
    if ((start > room) | (length > room - np.minimum(start, room))).any():
        raise CorruptStoreError("a chunk of the shard lies outside it")
    return index


def crc32c(parts: Sequence[bytes]) -> int:
    """Checksum (Castagnoli) of the parts one after the other."""
    checksum = google_crc32c.Checksum()
    for part in parts:
        checksum.update(part)
    return int.from_bytes(checksum.digest(), "big")


def _checksum(table: bytes) -> bytes:
    return int(google_crc32c.value(table)).to_bytes(CHECKSUM_BYTES, "little")
