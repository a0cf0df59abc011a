"""Which bytes a patch is stored as, and the arithmetic between pixels and those bytes.

This module does not know Zarr: workers that write shards, and readers that train from them, need
none of it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiling.errors import CorruptStoreError, PlanError

Pixels = NDArray[np.uint8]
AnyPixels = NDArray[Any]
"""Pixels of any type: `u1` RGB patches, and what volumes and masks are made of."""

JPEG = "imagecodecs_jpeg"
JPEG2K = "imagecodecs_jpeg2k"
JPEG_XL = "imagecodecs_jpegxl"
PNG = "imagecodecs_png"
RAW = "bytes"
ZSTD = "zstd"
"""Plain numbers, compressed; what zarr-python reads without any codec of ours."""

LITTLE = (("endian", "little"),)
"""Configuration of `RAW` where a number has several bytes."""

COPIED = "passthrough"
"""Label of patches that are the slide's own compressed tiles."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A chunk codec: its Zarr 3 name, its configuration, and what it is to the user.

    Attributes:
        codec: name in the array's metadata; `zstd` stands for little-endian numbers in zstd.
        configuration: sorted items of the codec's configuration.
        label: `passthrough`, `jpeg:Q`, `lossless`, `raw` or `imported`.
        reason: one sentence, why this and not another.
    """

    codec: str
    configuration: tuple[tuple[str, Any], ...] = ()
    label: str = ""
    reason: str = ""

    @property
    def copies(self) -> bool:
        """Whether the slide's own compressed tiles are stored."""
        return self.label == COPIED

    def metadata(self) -> list[dict[str, Any]]:
        """Give the inner codec chain of the sharding codec, as in `zarr.json`."""
        entry: dict[str, Any] = {"name": self.codec}
        if self.configuration:
            entry["configuration"] = dict(self.configuration)
        return (
            [{"name": RAW, "configuration": dict(LITTLE)}, entry] if self.codec == ZSTD else [entry]
        )


def read_encoding(codecs: Sequence[dict[str, Any]]) -> Encoding:
    """Read the inner codec chain that `Encoding.metadata` gives; label and reason are lost.

    Raises:
        CorruptStoreError: it is no chain of ours.
    """
    names = [str(entry["name"]) for entry in codecs]
    if len(names) != 1 and names != [RAW, ZSTD]:
        raise CorruptStoreError(f"patches in the codecs {', '.join(names)} cannot be read")
    last = codecs[-1]
    return Encoding(names[-1], tuple(sorted(last.get("configuration", {}).items())))


def parse_encoding(text: str, reason: str) -> Encoding:
    """Read `jpeg:Q`, `jpeg:Q:420`, `lossless` or `raw`.

    JPEG keeps full colour resolution (4:4:4): 4:2:0 loses 6 dB on slides that hold it, as the
    bundled one does (32.6 against 38.7 dB at quality 95), and saves a third of the bytes.

    Raises:
        PlanError: anything else, or a quality outside 1 to 100.
    """
    if text == "lossless":
        return Encoding(JPEG_XL, (("effort", 1), ("lossless", True)), text, reason)
    if text == "raw":
        return Encoding(RAW, (), text, reason)
    known = re.fullmatch(r"jpeg:([0-9]{1,3})(:420)?", text)
    if known and 1 <= int(known[1]) <= 100:
        subsampling = () if known[2] else (("subsampling", "444"),)
        return Encoding(JPEG, (("level", int(known[1])), *subsampling), text, reason)
    raise PlanError(
        f"encoding must be auto, jpeg:Q (Q from 1 to 100), jpeg:Q:420, lossless or raw, "
        f"got {text!r}"
    )


def bytes_bound(encoding: Encoding, patch_px: int) -> int:
    """Bytes that a stored patch will hardly exceed; used to size shards, never to reserve room."""
    pixels = 3 * patch_px * patch_px
    # measured at quality 95, 4:4:4: real slides take 0.13 to 0.28 of the raw bytes, noise 0.81
    return pixels * 3 // 10 if encoding.codec == JPEG else pixels + 1024


def encode_patch(pixels: AnyPixels, encoding: Encoding) -> bytes:
    """Encode `(P, P, 3)` RGB; `raw` and `zstd` take any little-endian numbers."""
    settings = dict(encoding.configuration)
    if encoding.codec == RAW:
        return pixels.tobytes()
    if encoding.codec == ZSTD:
        return _encode_zstd(pixels, settings)
    if encoding.codec == JPEG:
        return _encode_jpeg(pixels, settings)
    import imagecodecs  # slow to import, and only some encodings need it

    if encoding.codec == JPEG2K:
        return bytes(imagecodecs.jpeg2k_encode(pixels, **settings))
    if encoding.codec == PNG:
        return bytes(imagecodecs.png_encode(pixels, **settings))
    return bytes(imagecodecs.jpegxl_encode(pixels, numthreads=1, **settings))


def _encode_zstd(pixels: AnyPixels, settings: dict[str, Any]) -> bytes:
    from numcodecs.zstd import compress

    return bytes(compress(np.ascontiguousarray(pixels), settings["level"]))


def _encode_jpeg(pixels: Pixels, settings: dict[str, Any]) -> bytes:
    import simplejpeg

    quality = settings.get("level")
    data: bytes = simplejpeg.encode_jpeg(
        pixels,
        quality=75 if quality is None else quality,  # libjpeg's default, as imagecodecs has it
        colorspace="RGB",
        colorsubsampling=settings.get("subsampling") or "420",
    )
    return data


def decode_patch(data: bytes, encoding: Encoding, out: AnyPixels | None = None) -> AnyPixels:
    """Decode to `(P, P, 3)` RGB, into `out` where given.

    What is `raw` or `zstd` has the type of `out`; without it, its bytes are given.

    Raises:
        CorruptStoreError: the bytes are not what was written.
    """
    try:
        pixels = _decode(data, encoding, out)
    except (ValueError, RuntimeError, TypeError) as err:
        raise CorruptStoreError(f"stored patch does not decode as {encoding.codec}: {err}") from err
    if out is not None and pixels is not out:
        if pixels.size != out.size:
            raise CorruptStoreError(f"stored patch has shape {pixels.shape}, not {out.shape}")
        out[...] = pixels.reshape(out.shape)
        return out
    return pixels


def _decode(data: bytes, encoding: Encoding, out: AnyPixels | None) -> AnyPixels:
    if encoding.codec == JPEG:
        import simplejpeg

        if out is None:
            return np.asarray(simplejpeg.decode_jpeg(data, "RGB"))
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if (height, width) != out.shape[-3:-1]:
            raise ValueError(f"the image is {width} x {height} px")
        simplejpeg.decode_jpeg(data, "RGB", buffer=out)
        return out
    if encoding.codec in (RAW, ZSTD):
        plain = data if encoding.codec == RAW else _decode_zstd(data)
        flat = np.frombuffer(plain, np.uint8 if out is None else out.dtype)
        return flat if out is None else flat.reshape(out.shape)
    return _decode_slowly(data, encoding)


def _decode_zstd(data: bytes) -> bytes:
    from numcodecs.zstd import decompress

    return bytes(decompress(data))


def _decode_slowly(data: bytes, encoding: Encoding) -> Pixels:
    import imagecodecs

    if encoding.codec == JPEG2K:
        return np.asarray(imagecodecs.jpeg2k_decode(data))
    if encoding.codec == PNG:
        return np.asarray(imagecodecs.png_decode(data))
    return np.asarray(imagecodecs.jpegxl_decode(data, numthreads=1))
