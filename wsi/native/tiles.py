"""The two kinds of native tiles: JPEG, and JPEG 2000."""

from typing import TYPE_CHECKING, Any

import numpy as np

from wsi.area import block_mean
from wsi.native.base import NativeTiles, Rgb, TileLayout
from wsi.native.codestream import JpegAssembler, check_jpeg2k, parse_jpeg

if TYPE_CHECKING:
    from wsi.native.source import ByteSource

_HALF = 1 << 15  # rounds a 16-bit fixed-point product


class JpegTiles(NativeTiles):
    """Tiles that are baseline or progressive JPEGs of 8 bits, grey or of three components."""

    codec = "jpeg"

    def __init__(
        self,
        location: str,
        layout: TileLayout,
        source: "ByteSource",
        *,
        assembler: JpegAssembler,
    ) -> None:
        super().__init__(location, layout, source)
        self.standalone = assembler.components == 3  # a grey JPEG alone decodes to (h, w)
        self._assembler = assembler
        sides = layout.tile.width, layout.tile.height
        self._reductions = tuple(n for n in (1, 2, 4, 8) if all(side % n == 0 for side in sides))
        self._met: tuple[bytes, tuple[int, ...]] = (b"none yet", ())

    @property
    def reductions(self) -> tuple[int, ...]:
        """1, 2, 4, 8, as far as they divide the tile."""
        return self._reductions

    def _assemble(self, stored: memoryview) -> bytes:
        return self._assembler.assemble(stored)

    def _decode(self, data: bytes, reduction: int, shape: tuple[int, int, int]) -> Rgb:
        import simplejpeg

        scale = 1 if reduction == 1 else choose_scale(self._sampling(data), reduction)
        rest = reduction // scale
        # strict: damaged data raise, as they do in OpenSlide.
        pixels: Rgb = simplejpeg.decode_jpeg(
            data,
            "RGB",
            min_factor=scale,
            min_height=shape[0] * rest,
            min_width=shape[1] * rest,
            strict=True,
        )
        return pixels if rest == 1 else block_mean(pixels, rest)

    def _sampling(self, data: bytes) -> tuple[int, ...]:
        """Sampling factors of a tile; nearly all tiles of a level have the same header bytes."""
        header, sampling = self._met
        if not data.startswith(header):
            parsed = parse_jpeg(data)
            sampling = parsed.sampling
            self._met = data[: parsed.length], sampling
        return sampling


def choose_scale(sampling: tuple[int, ...], reduction: int) -> int:
    """Choose by how much the inverse transform reduces; the rest is left to area averaging.

    Measured on H&E at quality 75 against the area mean of the full decode, the scaled transform
    alone has 48 to 52 dB for 4:4:4, but for subsampled colour less than 45 dB, because the colour
    is then upsampled in another way (4:2:0: 41, 44, 48 dB for 2, 4, 8) or loses half of its
    resolution (4:2:2: 36, 32, 30 dB). What is chosen has at least 45 dB.
    """
    if len(sampling) != 3 or len(set(sampling)) == 1:
        return reduction
    if sampling == (0x22, 0x11, 0x11):
        return {2: 1, 4: 2, 8: 8}[reduction]
    return 2 if reduction == 8 and sampling == (0x21, 0x11, 0x11) else 1


class Jpeg2kTiles(NativeTiles):
    """Tiles that are JPEG 2000 codestreams; `is_ycc` where their components are YCbCr unmarked."""

    codec = "jpeg2k"

    def __init__(
        self,
        location: str,
        layout: TileLayout,
        source: "ByteSource",
        *,
        is_ycc: bool = False,
    ) -> None:
        super().__init__(location, layout, source)
        self.standalone = not is_ycc
        self._is_ycc = is_ycc

    def _assemble(self, stored: memoryview) -> bytes:
        data = bytes(stored)
        check_jpeg2k(data, self.tile)
        return data

    def _decode(self, data: bytes, reduction: int, shape: tuple[int, int, int]) -> Rgb:
        import imagecodecs

        pixels: Rgb = imagecodecs.jpeg2k_decode(data)
        return ycc_to_rgb(pixels) if self._is_ycc and pixels.shape == shape else pixels


def ycc_to_rgb(pixels: Rgb) -> Rgb:
    """Convert full-range YCbCr (BT.601) to RGB, u1 (h, w, 3), by libjpeg's fixed-point rule."""
    chroma = np.arange(256, dtype=np.int32) - 128
    red = (91881 * chroma + _HALF) >> 16  # 1.402 * 2**16
    blue = (116130 * chroma + _HALF) >> 16  # 1.772 * 2**16
    green_cb, green_cr = -22554 * chroma + _HALF, -46802 * chroma  # 0.34414 and 0.71414 * 2**16
    y, cb, cr = (pixels[..., i] for i in range(3))
    out: Any = np.empty(pixels.shape, np.int32)
    out[..., 0] = red[cr]
    out[..., 1] = (green_cb[cb] + green_cr[cr]) >> 16
    out[..., 2] = blue[cb]
    out += y[..., None]
    rgb: Rgb = np.clip(out, 0, 255).astype(np.uint8)
    return rgb
