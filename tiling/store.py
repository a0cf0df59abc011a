"""The archive (format 1): one group per slide, committed by its `zarr.json`.

Layout and attributes are those of the design; the docstrings here name the parts. Nothing here
imports zarr-python: what is written is plain Zarr 3, which a test reads with it.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiling import zarrjson
from tiling.encoding import Encoding, decode_patch
from tiling.errors import CorruptStoreError, StoreError, TilingError
from tiling.shard import crc32c, shard_parts
from tiling.storage import LocalStorage, Storage, open_storage

FORMAT = 1
DOCUMENT = "zarr.json"
INDEX = "slides.parquet"
NUMPY_TYPES = {name: code for code, name in zarrjson.DATA_TYPES.items()}

log = logging.getLogger(__name__)


@dataclass
class SlideWriter:
    """Puts one slide's objects under a prefix and remembers size and crc32c of each.

    Attributes:
        storage: where the archive lies.
        prefix: where this slide is being prepared.
        checksums: per key, relative to the slide, `[bytes, crc32c]`.
    """

    storage: Storage
    prefix: str
    checksums: dict[str, list[int]] = field(default_factory=dict)

    def put(self, key: str, parts: Sequence[bytes]) -> None:
        """Write one object."""
        self.storage.write(f"{self.prefix}/{key}", parts)
        self.checksums[key] = [sum(map(len, parts)), crc32c(parts)]

    def put_array(self, name: str, array: zarrjson.SmallArray) -> None:
        """Write a one-chunk array: data first, document last."""
        if array.chunk is not None:
            self.put(f"{name}/{array.chunk_key}", [array.chunk])
        self.put(f"{name}/{DOCUMENT}", [array.document])

    def put_shard(
        self, number: int, chunks: Sequence[bytes], capacity: int, key: str | None = None
    ) -> int:
        """Write shard `number` of the patches, or under `key`; returns its size in bytes."""
        key = key or shard_key(number)
        self.put(key, shard_parts(chunks, capacity))
        return self.checksums[key][0]

    def put_patches_document(
        self, count: int, patch_px: int, capacity: int, encoding: Encoding
    ) -> None:
        """Write the document of the `patches` array `(count, P, P, 3)`."""
        shape = (count, patch_px, patch_px, 3)
        self.put_sharded_document("patches", shape, "u1", capacity=capacity, encoding=encoding)

    def put_sharded_document(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        *,
        capacity: int,
        encoding: Encoding,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the document of an array `shape` in shards of `capacity` entries, a chunk each."""
        sharding = zarrjson.sharding_codec((1, *shape[1:]), encoding.metadata())
        document = zarrjson.array_document(
            shape, dtype, chunks=(capacity, *shape[1:]), codecs=[sharding], attributes=attributes
        )
        self.put(f"{name}/{DOCUMENT}", [document])


def slide_document(attributes: Mapping[str, Any]) -> bytes:
    """Give a slide's own `zarr.json`; its attribute `checksum` is the crc32c of all the others."""
    return zarrjson.group_document({"microtome": sealed(attributes)})


def sealed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Add `checksum`, the crc32c of all the other attributes."""
    others = {key: value for key, value in attributes.items() if key != "checksum"}
    return others | {"checksum": crc32c([zarrjson.dumps(others)])}


def sealed_array(document: bytes) -> bytes:
    """Add an attribute `checksum` to an array's `zarr.json`: the crc32c of it without that."""
    parsed = zarrjson.loads(document)
    parsed["attributes"]["checksum"] = crc32c([document])
    return zarrjson.dumps(parsed)


def shard_key(number: int, array: str = "patches", axes: int = 4) -> str:
    """Key of a shard of an array with so many axes, relative to the slide."""
    return "/".join([array, "c", str(number), *("0" * (axes - 1))])


class PatchStore:
    """One committed slide of an archive, for reading.

    Raises:
        StoreError: no such slide is committed.
    """

    def __init__(self, storage: Storage, slide_id: str) -> None:
        self.storage = storage
        self.slide_id = slide_id
        self.attributes = _read_attributes(storage, slide_id)

    def __len__(self) -> int:
        """Number of patches."""
        return int(self.attributes["n_patches"])

    def document(self, array: str) -> dict[str, Any]:
        """Read the `zarr.json` of an array."""
        return zarrjson.loads(self.read(f"{array}/{DOCUMENT}"))

    def read(self, key: str) -> bytes:
        """Read an object of this slide."""
        return self.storage.read(f"{self.slide_id}/{key}")

    @property
    def coords(self) -> NDArray[np.int32]:
        """Top-left corners `(N, 2)` as x, y in level-0 pixels."""
        return self.small("coords")

    @property
    def tissue_fraction(self) -> NDArray[np.float32]:
        """Share of each patch that is tissue, `(N,)`."""
        return self.small("tissue_fraction")

    @property
    def status(self) -> NDArray[np.uint8]:
        """Per patch `(N,)`: 0 ok, 1 retried, 2 unreadable (white)."""
        return self.small("status")

    @property
    def tissue_mask(self) -> NDArray[np.uint8]:
        """Tissue `(h, w)`, 0 or 1, on the thumbnail's pixels."""
        return self.small("tissue_mask")

    @property
    def thumbnail(self) -> NDArray[np.uint8]:
        """The whole slide `(h, w, 3)`."""
        return self.small("thumbnail")

    def small(self, name: str) -> NDArray[Any]:
        """Read an array that is one chunk."""
        document = self.document(name)
        shape, dtype = document["shape"], NUMPY_TYPES[document["data_type"]]
        if 0 in shape:
            return np.zeros(shape, dtype)
        data = self.read("/".join([name, "c", *("0" for _ in shape)]))
        for codec in reversed(document["codecs"]):
            data = _undo(codec, data)
        return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)


def _undo(codec: dict[str, Any], data: bytes) -> bytes:
    if codec["name"] == "bytes":
        return data
    if codec["name"] == "zstd":
        from numcodecs.zstd import decompress

        return bytes(decompress(data))
    settings = tuple(sorted(codec.get("configuration", {}).items()))
    return decode_patch(data, Encoding(codec["name"], settings)).tobytes()


def _read_attributes(storage: Storage, slide_id: str) -> dict[str, Any]:
    try:
        document = zarrjson.loads(storage.read(f"{slide_id}/{DOCUMENT}"))
        attributes: dict[str, Any] = document["attributes"]["microtome"]
    except FileNotFoundError as err:
        raise StoreError(f"{storage.root} holds no committed slide {slide_id!r}") from err
    except (ValueError, KeyError, TypeError) as err:
        raise CorruptStoreError(f"{storage.root}: {slide_id}/{DOCUMENT} is damaged") from err
    return attributes


class Archive:
    """Many slides in one place. Make one with `Archive.create` or `Archive.open`."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    @classmethod
    def open(cls, location: str) -> "Archive":
        """Open an existing archive.

        Raises:
            StoreError: there is none at `location`, or it is of a later format.
        """
        storage = open_storage(location)
        try:
            document = zarrjson.loads(storage.read(DOCUMENT))
            found = document.get("attributes", {}).get("microtome", {}).get("format")
        except FileNotFoundError as err:
            raise StoreError(f"no archive at {location}") from err
        except NotADirectoryError as err:
            raise StoreError(f"{location} is a file, and no archive") from err
        except (OSError, ValueError, AttributeError) as err:
            raise StoreError(f"cannot read the archive at {location}: {err}") from err
        if found != FORMAT:
            raise StoreError(
                f"{location} is no archive of format {FORMAT}, its format is {found!r}"
            )
        return cls(storage)

    @classmethod
    def create(cls, location: str) -> "Archive":
        """Open the archive at `location`, making an empty one where nothing is."""
        storage = open_storage(location)
        there = [name for name in storage.names("") if not name.startswith(".")]
        if not storage.exists(DOCUMENT):  # asked last: another run may be making the archive
            if there:
                raise StoreError(f"{location} exists and is no archive; choose another --out")
            if isinstance(storage, LocalStorage) and Path(storage.root).is_file():
                raise StoreError(f"{location} is a file, and no archive; choose another --out")
            storage.create(DOCUMENT, zarrjson.group_document({"microtome": {"format": FORMAT}}))
        return cls.open(location)

    @property
    def location(self) -> str:
        """Folder or URL."""
        return self.storage.root

    def slide_ids(self) -> list[str]:
        """IDs of the committed slides, sorted."""
        names = [name for name in self.storage.names("") if not name.startswith(".")]
        return [
            name
            for name in names
            if name not in (DOCUMENT, INDEX) and self.storage.exists(f"{name}/{DOCUMENT}")
        ]

    def __contains__(self, slide_id: str) -> bool:
        """Whether the slide is committed."""
        return self.storage.exists(f"{slide_id}/{DOCUMENT}")

    def __getitem__(self, slide_id: str) -> PatchStore:
        """Open a committed slide."""
        return PatchStore(self.storage, slide_id)

    def stores(self) -> Iterator[PatchStore]:
        """Open the committed slides one after the other, by ID."""
        return (self[slide_id] for slide_id in self.slide_ids())

    def sound_stores(self, slide_ids: Iterable[str]) -> Iterator[PatchStore]:
        """Open those of the slides that can be opened, one after the other."""
        for slide_id in slide_ids:
            try:
                store = self[slide_id]
            except TilingError:
                continue
            yield store
