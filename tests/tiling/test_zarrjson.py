"""Our documents and small arrays beside those that zarr-python writes for the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import BytesCodec, ZstdCodec

from tests.tiling.archives import Pixels
from tiling import zarrjson
from tiling.codecs import Jpeg, JpegXl
from tiling.encoding import decode_patch, parse_encoding
from tiling.storage import LocalStorage
from tiling.store import SlideWriter


def parsed(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((path / "zarr.json").read_text())
    return document


def write(folder: Path, array: zarrjson.SmallArray) -> Path:
    SlideWriter(LocalStorage(str(folder)), "ours").put_array("array", array)
    return folder / "ours" / "array"


@pytest.mark.parametrize("dtype", zarrjson.DATA_TYPES)
@pytest.mark.parametrize("shape", [(7,), (5, 2), (1, 1), (0,), (0, 2), (3, 0)], ids=str)
@pytest.mark.parametrize("compress", [False, True], ids=["plain", "zstd"])
def test_small_arrays(tmp_path: Path, dtype: str, shape: tuple[int, ...], compress: bool) -> None:
    values = (np.random.default_rng(0).random(shape) * 100).astype(dtype)
    ours = write(tmp_path, zarrjson.small_array(values, dtype, compress=compress))
    theirs = zarr.create_array(
        tmp_path / "theirs",
        shape=shape,
        dtype=dtype,
        chunks=[max(1, n) for n in shape],
        serializer=BytesCodec(endian=None if dtype in ("u1", "i1") else "little"),
        compressors=ZstdCodec(level=3, checksum=False) if compress else None,
        fill_value=0,
    )
    theirs[...] = values
    assert parsed(ours) == parsed(tmp_path / "theirs")
    read = zarr.open_array(ours, mode="r")[...]
    np.testing.assert_array_equal(read, values)
    assert read.dtype == values.dtype
    chunks = {p.relative_to(ours) for p in (ours).rglob("*") if p.is_file()}
    assert len(chunks) == (2 if values.size else 1)


@pytest.mark.parametrize("text", ["jpeg:85", "jpeg:95:420", "lossless"])
def test_pictures(tmp_path: Path, tissue_pixels: Pixels, text: str) -> None:
    pixels = np.ascontiguousarray(tissue_pixels[:50, :70])
    encoding = parse_encoding(text, "")
    ours = write(tmp_path, zarrjson.image_array(pixels, encoding))
    kind = JpegXl if text == "lossless" else Jpeg
    zarr.create_array(
        tmp_path / "theirs", shape=pixels.shape, dtype="u1", chunks=pixels.shape, fill_value=0,
        serializer=kind.from_dict(encoding.metadata()[0]), compressors=None,
    )  # fmt: skip
    assert parsed(ours) == parsed(tmp_path / "theirs")
    stored = (ours / "c" / "0" / "0" / "0").read_bytes()
    np.testing.assert_array_equal(
        zarr.open_array(ours, mode="r")[:], decode_patch(stored, encoding)
    )


@pytest.mark.parametrize("text", ["jpeg:95", "lossless", "raw"])
@pytest.mark.parametrize("count", [0, 1, 10])
def test_patches_document(tmp_path: Path, text: str, count: int) -> None:
    encoding = parse_encoding(text, "")
    writer = SlideWriter(LocalStorage(str(tmp_path)), "ours")
    writer.put_patches_document(count, 32, 4, encoding)
    kind = {"raw": BytesCodec(endian=None), "lossless": JpegXl, "jpeg:95": Jpeg}[text]
    zarr.create_array(
        tmp_path / "theirs",
        shape=(count, 32, 32, 3),
        dtype="u1",
        chunks=(1, 32, 32, 3),
        shards=(4, 32, 32, 3),
        serializer=kind if text == "raw" else kind.from_dict(encoding.metadata()[0]),
        compressors=None,
        fill_value=0,
    )
    assert parsed(tmp_path / "ours" / "patches") == parsed(tmp_path / "theirs")


def test_group_document(tmp_path: Path) -> None:
    attributes = {"microtome": {"format": 1, "names": ["a", "\u00e9"], "nothing": None}}
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "zarr.json").write_bytes(zarrjson.group_document(attributes))
    zarr.create_group(tmp_path / "theirs", attributes=attributes)
    assert parsed(tmp_path / "ours") == parsed(tmp_path / "theirs")
    assert dict(zarr.open_group(tmp_path / "ours", mode="r").attrs) == attributes


def test_documents_do_not_depend_on_the_order_of_keys() -> None:
    assert zarrjson.dumps({"a": 1, "b": {"c": 2, "d": 3}}) == zarrjson.dumps(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        zarrjson.dumps({"mpp": float("nan")})


def test_array_attributes_are_kept() -> None:
    made = zarrjson.array_document((2,), "f2", chunks=(2,), codecs=[], attributes={"k": [1]})
    assert json.loads(made)["attributes"] == {"k": [1]}
