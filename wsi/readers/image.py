"""A plain picture (PNG, JPEG, TIFF) as a slide of one level, held in memory."""

from typing import ClassVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from wsi.color import Pixels
from wsi.errors import UnreadableSlideError, UnsupportedSlideError
from wsi.geometry import Level, Point, Size
from wsi.mpp import MppRecord
from wsi.slide import Slide

# Modes that become RGB without losing range; 16-bit and float pictures would be clipped in silence.
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "La", "RGBa"})
WITH_ALPHA = frozenset({"LA", "PA", "RGBA", "La", "RGBa"})


class ImageSlide(Slide):
    """One picture that Pillow opens; local files only.

    Its dots per inch are about printing, so they give no microns per pixel: the caller gives them.
    The whole picture is decoded at the first read and stays in memory until close().
    """

    reader: ClassVar[str] = "image"
    _image: Image.Image

    def _open(self) -> None:
        try:
            self._image = Image.open(self.location)
        except UnidentifiedImageError as err:
            raise UnsupportedSlideError(f"{self.location}: not a picture that is known") from err
        except Image.DecompressionBombError as err:
            raise UnreadableSlideError(
                f"{self.location}: too large to be read at once; convert it to a tiled TIFF: {err}"
            ) from err
        if self._image.mode not in MODES:
            mode = self._image.mode
            self._image.close()
            raise UnsupportedSlideError(f"{self.location}: mode {mode}; only 8-bit is supported")
        self._pixels: Pixels | None = None

    def _close(self) -> None:
        self._pixels = None
        self._image.close()

    def _read_levels(self) -> tuple[Level, ...]:
        return (Level(0, Size(*self._image.size), 1.0),)

    def _read_properties(self) -> dict[str, str]:
        return {"image.vendor": (self._image.format or "unknown").lower()}

    def _metadata_mpp(self) -> MppRecord | None:
        return None

    def _read(self, corner: Point, level: Level, location: Point, size: Size) -> Pixels:
        if self._pixels is None:
            alpha = self._image.mode in WITH_ALPHA or "transparency" in self._image.info
            self._pixels = np.asarray(self._image.convert("RGBA" if alpha else "RGB"))
        rows = slice(corner.y, corner.y + size.height)
        return self._pixels[rows, corner.x : corner.x + size.width].copy()

    def _read_icc_profile(self) -> bytes | None:
        profile = self._image.info.get("icc_profile")
        return profile if isinstance(profile, bytes) else None
