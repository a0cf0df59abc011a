"""How one patch becomes bytes: the Zarr 3 codecs of our archives, and the same without Zarr.

The names and configurations are those of the public `imagecodecs` Zarr 3 codecs, so that any reader
that has them opens our archives. The classes here are found by zarr-python through the entry points
of this distribution.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer

from tiling.encoding import Encoding, decode_patch, encode_patch

Json = dict[str, Any]


@dataclass(frozen=True)
class _ImageCodec(ArrayBytesCodec):
    """One image per chunk; the chunk's leading axes of length 1 are not part of the image."""

    name: ClassVar[str]
    is_fixed_size = False
    configuration: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def from_dict(cls, data: Json) -> Self:
        """Read the codec's entry of a `zarr.json`."""
        return cls(tuple(sorted(data.get("configuration", {}).items())))

    def to_dict(self) -> Json:
        """Give the codec's entry of a `zarr.json`."""
        entry: Json = {"name": self.name}
        if self.configuration:
            entry["configuration"] = dict(self.configuration)
        return entry

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Refuse: the size of a compressed image is not known beforehand."""
        raise NotImplementedError

    @property
    def _encoding(self) -> Encoding:
        return Encoding(self.name, self.configuration)

    def _decode_sync(self, chunk: Buffer, spec: ArraySpec) -> NDBuffer:
        pixels: NDArray[np.uint8] = decode_patch(chunk.to_bytes(), self._encoding)
        return spec.prototype.nd_buffer.from_numpy_array(pixels.reshape(spec.shape))

    def _encode_sync(self, chunk: NDBuffer, spec: ArraySpec) -> Buffer:
        pixels = np.ascontiguousarray(np.asarray(chunk.as_numpy_array()).reshape(spec.shape[-3:]))
        return spec.prototype.buffer.from_bytes(encode_patch(pixels, self._encoding))

    async def _decode_single(self, chunk: Buffer, spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk, spec)

    async def _encode_single(self, chunk: NDBuffer, spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode_sync, chunk, spec)


class Jpeg(_ImageCodec):
    """Baseline JPEG; decodes to RGB whatever the colour space inside."""

    name = "imagecodecs_jpeg"


class Jpeg2k(_ImageCodec):
    """JPEG 2000 codestreams."""

    name = "imagecodecs_jpeg2k"


class Png(_ImageCodec):
    """PNG of 8 bits per channel, as imported patch sets have it."""

    name = "imagecodecs_png"


class JpegXl(_ImageCodec):
    """JPEG XL, lossless in our archives."""

    name = "imagecodecs_jpegxl"
