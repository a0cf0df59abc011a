"""Encodes tiles as slide scanners do: JPEG with shared tables, RGB or YCbCr, and JPEG 2000."""

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
import numpy.typing as npt

from wsi.errors import InvalidRequestError
from wsi.native.codestream import SOI, name_components, split_tables
from wsi.synthetic.container import COMPRESSION, JPEG_TABLES, PHOTOMETRIC, SUBSAMPLING, TagValue

Pixels = npt.NDArray[np.uint8]
Codec = Literal["jpeg", "jpeg-rgb", "jpeg2k", "jpeg2k-ycc"]
_J2K_PSNR_DB = 40  # about what scanners aim at
_SAMPLING = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}


class TileEncoder(ABC):
    """Encodes and decodes tiles; `tags` says in a directory how they are encoded."""

    tags: dict[int, TagValue]
    name: str
    """As an Aperio description names it."""

    @abstractmethod
    def encode(self, pixels: Pixels) -> bytes:
        """Encode a tile, u1 (h, w, 3), as its file stores it."""

    @abstractmethod
    def decode(self, data: bytes) -> Pixels:
        """Decode what `encode` gave to RGB."""


class JpegEncoder(TileEncoder):
    """Abbreviated JPEGs whose tables stand once in the directory (tag 347).

    Args:
        quality: 1 to 100, of the IJG scale.
        subsampling: of the colour: "444", "422" or "420".
        rgb: store RGB instead of YCbCr, without any marker that says so, as Aperio does.
    """

    def __init__(self, quality: int, subsampling: str, *, rgb: bool) -> None:
        if subsampling not in _SAMPLING or (rgb and subsampling != "444"):
            raise InvalidRequestError(f"no JPEG subsampling {subsampling} for rgb={rgb}")
        self._quality, self._subsampling, self._rgb = quality, subsampling, rgb
        self._tables, _ = split_tables(self._encode_full(np.zeros((16, 16, 3), np.uint8)))
        self.name = f"JPEG/RGB Q={quality}"
        self.tags = {COMPRESSION: 7, PHOTOMETRIC: 2 if rgb else 6, JPEG_TABLES: self._tables}
        if not rgb:
            self.tags[SUBSAMPLING] = _SAMPLING[subsampling]

    def encode(self, pixels: Pixels) -> bytes:
        """Encode a tile without tables."""
        tables, tile = split_tables(self._encode_full(pixels))
        if tables != self._tables:
            raise InvalidRequestError("the JPEG library changes its tables from tile to tile")
        return tile

    def _encode_full(self, pixels: Pixels) -> bytes:
        import imagecodecs
        import simplejpeg

        pixels = np.ascontiguousarray(pixels)
        if not self._rgb:
            return bytes(simplejpeg.encode_jpeg(pixels, self._quality, "RGB", self._subsampling))
        full = imagecodecs.jpeg8_encode(
            pixels, self._quality, colorspace="rgb", outcolorspace="rgb", subsampling="444"
        )
        # Renamed, so that nothing tells that the stream is RGB.
        return name_components(bytes(full), bytes((0, 1, 2)))

    def decode(self, data: bytes) -> Pixels:
        """Decode by libjpeg with the colour space stated."""
        import imagecodecs

        space = "rgb" if self._rgb else "ycbcr"
        pixels: Pixels = imagecodecs.jpeg8_decode(
            SOI + self._tables[2:-2] + data[2:], colorspace=space, outcolorspace="rgb"
        )
        return pixels


class Jpeg2kEncoder(TileEncoder):
    """Bare JPEG 2000 codestreams of RGB (33005) or, with `ycc`, of unmarked YCbCr (33003)."""

    name = "J2K/KDU Q=70"

    def __init__(self, *, ycc: bool) -> None:
        self._ycc = ycc
        self.tags = {COMPRESSION: 33003 if ycc else 33005, PHOTOMETRIC: 2}

    def encode(self, pixels: Pixels) -> bytes:
        """Encode a tile, lossy."""
        import imagecodecs

        data = imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(rgb_to_ycc(pixels) if self._ycc else pixels),
            level=_J2K_PSNR_DB,
            codecformat="j2k",
            mct=not self._ycc,
        )
        return bytes(data)

    def decode(self, data: bytes) -> Pixels:
        """Decode a tile to RGB."""
        import imagecodecs

        from wsi.native.tiles import ycc_to_rgb

        pixels: Pixels = imagecodecs.jpeg2k_decode(data)
        return ycc_to_rgb(pixels) if self._ycc else pixels


def rgb_to_ycc(pixels: Pixels) -> Pixels:
    """Convert RGB to full-range YCbCr (BT.601), u1 (h, w, 3)."""
    matrix = np.array(
        [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    )
    ycc = pixels.astype(np.float64) @ matrix.T + (0, 128, 128)
    out: Pixels = np.clip(np.rint(ycc), 0, 255).astype(np.uint8)
    return out


def make_encoder(codec: Codec, quality: int, subsampling: str) -> TileEncoder:
    """Make the encoder of a codec's name."""
    if codec == "jpeg":
        return JpegEncoder(quality, subsampling, rgb=False)
    if codec == "jpeg-rgb":
        return JpegEncoder(quality, "444", rgb=True)
    return Jpeg2kEncoder(ycc=codec == "jpeg2k-ycc")
