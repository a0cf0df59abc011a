"""One image file: what it is, whether its bytes can be kept, and its pixels as 8-bit RGB.

JPEG that our codec decodes to RGB and 8-bit RGB PNG are kept bit for bit, unless EXIF turns them.
All else is decoded: alpha over white, palettes resolved, of 16 bits the upper 8, EXIF applied.
"""

import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tiling.area import reduce_area
from tiling.encoding import JPEG, PNG, Encoding, decode_patch
from tiling.errors import CorruptStoreError, TilingError
from wsi.color import over_white

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]

ORIENTATION = 0x0112
"""EXIF tag; 1 is upright."""

UPRIGHT = 1
SWAPS_SIDES = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""

KEPT_JPEG = {"L": "grey JPEG", "RGB": "JPEG", "YCbCr": "JPEG"}

DAMAGE = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, struct.error)
"""What Pillow raises on damaged files."""


class ImageError(TilingError, ValueError):
    """An image cannot be read: missing, empty, damaged, or of a kind that is no picture."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a file's header says.

    Attributes:
        kind: in words, such as `JPEG` or `PNG with alpha`.
        codec: whose bytes can be kept; empty where they cannot.
        width, height: upright, in pixels.
        size: bytes of the file.
    """

    kind: str
    codec: str
    width: int
    height: int
    size: int


def probe(path: str) -> Probe:
    """Read a file's header.

    Raises:
        ImageError: it is missing, empty or no image.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            head = opened.read(26)
    except OSError as err:
        raise ImageError(f"cannot be read: {err.strerror or err}") from err
    if size == 0:
        raise ImageError("the file is empty")
    with _open(file) as image:
        turned = _orientation(image)
        kind, codec = _kind(image, head)
        width, height = image.size if turned not in SWAPS_SIDES else image.size[::-1]
    if turned != UPRIGHT:
        kind, codec = f"{kind} turned by EXIF", ""
    return Probe(kind, codec, width, height, size)


def _open(source: Path | BytesIO) -> "Image.Image":
    from PIL import Image

    try:
        image = Image.open(source)
        pages = getattr(image, "n_frames", 1)
    except (*DAMAGE, Image.DecompressionBombError) as err:
        raise ImageError(f"is no image that can be read: {_plain(err)}") from err
    if pages > 1 and image.format != "MPO":  # cameras add previews to a JPEG, as further pages
        image.close()
        raise ImageError(f"holds {pages} images; give one per file")
    return image


def _plain(err: BaseException) -> str:
    text = str(err)
    return "the format is not known" if text.startswith("cannot identify") else text


def _orientation(image: "Image.Image") -> int:
    try:
        found = image.getexif().get(ORIENTATION, UPRIGHT)
    except DAMAGE:  # damaged EXIF turns nothing
        return UPRIGHT
    return found if found in range(2, 9) else UPRIGHT


def _kind(image: "Image.Image", head: bytes) -> tuple[str, str]:
    """Say what an image is, and which codec its bytes can be kept in."""
    if image.format in ("JPEG", "MPO"):
        kind = KEPT_JPEG.get(image.mode)
        return (kind, JPEG) if kind else (f"{image.mode} JPEG", "")
    if image.format != "PNG":
        return str(image.format), ""
    depth, colour = head[24], head[25]  # PNG specification, 11.2.2: IHDR
    kinds = {
        0: "grey PNG",
        2: "PNG",
        3: "palette PNG",
        4: "grey PNG with alpha",
        6: "PNG with alpha",
    }
    kind = kinds.get(colour, "PNG")
    if depth == 16:
        return f"16-bit {kind}", ""
    if "transparency" in image.info:
        return f"transparent {kind}", ""
    return kind, PNG if colour == 2 else ""


def decode_kept(data: bytes, codec: str) -> Pixels | None:
    """Decode bytes with the codec that they would be stored in; None where it does not take them.

    Returns:
        `(H, W, 3)`, or None where the codec gives no RGB of 8 bits.
    """
    try:
        pixels = decode_patch(data, Encoding(codec))
    except CorruptStoreError:
        return None
    return (
        pixels if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8 else None
    )


def decode_any(data: bytes) -> Pixels:
    """Decode to upright 8-bit RGB `(H, W, 3)`, as Pillow reads it.

    Raises:
        ImageError: it cannot be decoded.
    """
    from PIL import Image, ImageOps

    with _open(BytesIO(data)) as image:
        try:
            image.load()
            upright = ImageOps.exif_transpose(image)
        except (*DAMAGE, Image.DecompressionBombError) as err:
            raise ImageError(f"is damaged: {_plain(err)}") from err
        return _rgb(upright)


def _rgb(image: "Image.Image") -> Pixels:
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("F", "I"):
        raise ImageError(f"its pixels are no colours (mode {image.mode}); convert them to 8 bits")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return over_white(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def read_mask(path: str) -> Pixels:
    """Read a mask `(H, W)`: classes as an image of one channel, grey, palette indices or bits.

    Raises:
        ImageError: it cannot be read, or has several channels.
    """
    from PIL import Image

    try:
        data = Path(path).read_bytes()
    except OSError as err:
        raise ImageError(f"cannot be read: {err.strerror or err}") from err
    with _open(BytesIO(data)) as image:
        if image.mode not in ("1", "L", "P"):
            raise ImageError(f"a mask has one channel of 8 bits, this one is {image.mode}")
        try:
            return np.asarray(image).astype(np.uint8)
        except (*DAMAGE, Image.DecompressionBombError) as err:
            raise ImageError(f"is damaged: {_plain(err)}") from err


def resize(pixels: Pixels, side_px: int) -> Pixels:
    """Resize `(H, W, 3)` to a square: by area where no side grows, else bilinear."""
    from PIL import Image

    height, width = pixels.shape[:2]
    if min(height, width) >= side_px:
        return reduce_area(pixels, np.zeros(2), np.array([width, height], float), side_px)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((side_px, side_px), Image.Resampling.BILINEAR))


def resize_mask(mask: Pixels, side_px: int) -> Pixels:
    """Resize `(H, W)` to a square by the nearest pixel, so that classes stay classes."""
    from PIL import Image

    return np.asarray(Image.fromarray(mask).resize((side_px, side_px), Image.Resampling.NEAREST))
