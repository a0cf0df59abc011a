"""Patches to bytes and back, checked with other libraries' decoders."""

import io

import imagecodecs
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from tests.tiling.archives import Pixels, decibel
from tiling.encoding import (
    Encoding,
    bytes_bound,
    decode_patch,
    encode_patch,
    parse_encoding,
    read_encoding,
)
from tiling.errors import CorruptStoreError, PlanError

LOSSLESS = [parse_encoding("lossless", ""), parse_encoding("raw", "")]


@pytest.fixture(scope="module")
def patch(tissue_pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(tissue_pixels[100:228, 200:328])


@pytest.mark.parametrize(
    ("text", "codec", "configuration"),
    [
        ("jpeg:1:420", "imagecodecs_jpeg", {"level": 1}),
        ("jpeg:95", "imagecodecs_jpeg", {"level": 95, "subsampling": "444"}),
        ("jpeg:100:420", "imagecodecs_jpeg", {"level": 100}),
        ("lossless", "imagecodecs_jpegxl", {"effort": 1, "lossless": True}),
        ("raw", "bytes", {}),
    ],
)
def test_known_encodings(text: str, codec: str, configuration: dict[str, object]) -> None:
    encoding = parse_encoding(text, "because")
    assert (encoding.codec, dict(encoding.configuration)) == (codec, configuration)
    assert (encoding.label, encoding.reason, encoding.copies) == (text, "because", False)
    entry = {"name": codec} | ({"configuration": configuration} if configuration else {})
    assert encoding.metadata() == [entry]


@pytest.mark.parametrize(
    "text",
    ["", "jpeg", "jpeg:", "jpeg:0", "jpeg:101", "jpeg:-5", "jpeg:9.5", "jpeg:\u0665", "jpeg:95:",
     "jpeg:95:422", "JPEG:95", "webp", "lossless:1", "raw ", "passthrough"],
)  # fmt: skip
def test_unknown_encodings_are_refused(text: str) -> None:
    with pytest.raises(PlanError, match="encoding must be auto, jpeg:Q"):
        parse_encoding(text, "")


@pytest.mark.parametrize("encoding", LOSSLESS, ids=["lossless", "raw"])
def test_lossless_is_lossless(encoding: Encoding, patch: Pixels) -> None:
    data = encode_patch(patch, encoding)
    np.testing.assert_array_equal(decode_patch(data, encoding).reshape(patch.shape), patch)
    out = np.empty_like(patch)
    assert decode_patch(data, encoding, out) is out
    np.testing.assert_array_equal(out, patch)


def test_raw_bytes_are_the_pixels(patch: Pixels) -> None:
    assert encode_patch(patch, LOSSLESS[1]) == patch.tobytes()


def test_lossless_decodes_elsewhere(patch: Pixels) -> None:
    data = encode_patch(patch, LOSSLESS[0])
    np.testing.assert_array_equal(imagecodecs.jpegxl_decode(data), patch)
    assert len(data) < patch.nbytes


@pytest.mark.parametrize(
    ("text", "sampling", "least_db"),
    [("jpeg:95:420", "420", 33), ("jpeg:95", "444", 38), ("jpeg:50", "444", 28)],
)
def test_jpeg_is_what_it_says(text: str, sampling: str, least_db: float, patch: Pixels) -> None:
    encoding = parse_encoding(text, "")
    data = encode_patch(patch, encoding)
    assert simplejpeg.decode_jpeg_header(data) == (128, 128, "YCbCr", sampling)
    tables = Image.open(io.BytesIO(data)).quantization
    assert (
        tables == Image.open(_by_pillow(patch, dict(encoding.configuration)["level"])).quantization
    )
    decoded = decode_patch(data, encoding)
    assert decibel(decoded, patch) > least_db
    np.testing.assert_array_equal(decoded, np.asarray(Image.open(io.BytesIO(data))))


def _by_pillow(patch: Pixels, quality: int) -> io.BytesIO:
    buffer = io.BytesIO()
    Image.fromarray(patch).save(buffer, "JPEG", quality=quality)
    return buffer


def test_jpeg2k_round_trip_without_loss(patch: Pixels) -> None:
    encoding = Encoding("imagecodecs_jpeg2k", (("level", 0), ("reversible", True)))
    data = encode_patch(patch, encoding)
    np.testing.assert_array_equal(decode_patch(data, encoding), patch)


@pytest.mark.parametrize(
    ("text", "with_out"),  # raw bytes have a wrong length only where the shape is known
    [("jpeg:95", False), ("jpeg:95", True), ("lossless", False), ("lossless", True), ("raw", True)],
)
@pytest.mark.parametrize("broken", ["truncated", "empty", "other"])
def test_broken_bytes_are_an_error_of_the_store(
    text: str, with_out: bool, broken: str, patch: Pixels
) -> None:
    encoding = parse_encoding(text, "")
    data = encode_patch(patch, encoding)
    data = {"truncated": data[: len(data) // 2], "empty": b"", "other": b"patch" * 100}[broken]
    out = np.empty_like(patch) if with_out else None
    with pytest.raises(CorruptStoreError, match="stored patch"):
        decode_patch(data, encoding, out)


@pytest.mark.parametrize("text", ["jpeg:95", "lossless", "raw"])
def test_a_patch_of_another_size_does_not_fit(text: str, patch: Pixels) -> None:
    encoding = parse_encoding(text, "")
    data = encode_patch(np.ascontiguousarray(patch[:64]), encoding)
    with pytest.raises(CorruptStoreError, match="stored patch"):
        decode_patch(data, encoding, np.empty_like(patch))


@pytest.mark.parametrize("text", ["jpeg:95", "jpeg:95:420", "lossless", "raw"])
def test_tissue_stays_below_the_bound(text: str, patch: Pixels) -> None:
    encoding = parse_encoding(text, "")
    assert len(encode_patch(patch, encoding)) <= bytes_bound(encoding, 128)


def test_codec_chains_are_read_back() -> None:
    zstd = Encoding("zstd", (("checksum", False), ("level", 3)))
    for encoding in (zstd, Encoding("bytes", (("endian", "little"),)), Encoding("imagecodecs_png")):
        assert read_encoding(encoding.metadata()) == encoding


def test_chains_of_others_are_refused() -> None:
    with pytest.raises(CorruptStoreError, match="patches in the codecs bytes, gzip cannot be read"):
        read_encoding([{"name": "bytes"}, {"name": "gzip"}])


@pytest.mark.parametrize("codec", ["zstd", "bytes"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
def test_numbers_of_any_type_round_trip(codec: str, dtype: str) -> None:
    values = np.arange(35).reshape(5, 7, 1).astype(dtype)
    settings = (("checksum", False), ("level", 3)) if codec == "zstd" else ()
    encoding = Encoding(codec, settings)
    out = np.empty_like(values)
    decode_patch(encode_patch(values, encoding), encoding, out)
    np.testing.assert_array_equal(out, values)


def test_numbers_that_are_too_few_are_said() -> None:
    encoding = Encoding("zstd", (("level", 3),))
    data = encode_patch(np.zeros((4, 4), "i2"), encoding)
    with pytest.raises(CorruptStoreError, match="does not decode as zstd"):
        decode_patch(data, encoding, np.empty((5, 5), "i2"))
    with pytest.raises(CorruptStoreError, match="does not decode as zstd"):
        decode_patch(b"torn", encoding, np.empty((4, 4), "i2"))
