"""Slides through OpenSlide: SVS, NDPI, MRXS, SCN, BIF, VMS, Philips TIFF, tiled TIFF, DICOM."""

from typing import ClassVar

import numpy as np
import openslide

from wsi.color import Pixels
from wsi.errors import UnreadableSlideError, UnsupportedSlideError
from wsi.geometry import Level, Point, Size
from wsi.handle import SharedCache
from wsi.mpp import MppRecord, mpp_from_properties
from wsi.slide import Slide

MPP = (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)


class OpenSlideSlide(Slide):
    """A slide that OpenSlide opens; local files only.

    Where a location falls between two pixels of a coarser level, OpenSlide interpolates.
    """

    reader: ClassVar[str] = "openslide"
    _handle: openslide.OpenSlide

    def _open(self) -> None:
        try:
            self._handle = openslide.OpenSlide(self.location)
        except openslide.OpenSlideUnsupportedFormatError as err:
            raise UnsupportedSlideError(
                f"{self.location}: OpenSlide does not know this format, or the file is damaged"
            ) from err
        except openslide.OpenSlideError as err:
            known = not str(err).startswith("Unsupported")  # e.g. "Unsupported TIFF compression"
            kind = UnreadableSlideError if known else UnsupportedSlideError
            raise kind(f"{self.location}: OpenSlide cannot open it: {err}") from err

    def share_cache(self, cache: SharedCache) -> bool:
        """Keep decoded blocks in this memory, until the slide is closed."""
        fresh = openslide.OpenSlideCache(cache.capacity_bytes)
        made = cache.made.setdefault(self.reader, fresh)
        self._ensure_open()
        self._handle.set_cache(made)
        return True

    def _close(self) -> None:
        self._handle.close()

    def _read_levels(self) -> tuple[Level, ...]:
        pairs = zip(self._handle.level_dimensions, self._handle.level_downsamples, strict=True)
        return tuple(
            Level(index, Size(*size), downsample) for index, (size, downsample) in enumerate(pairs)
        )

    def _read_properties(self) -> dict[str, str]:
        return dict(self._handle.properties)

    def _metadata_mpp(self) -> MppRecord | None:
        return mpp_from_properties(self.properties, *MPP)

    def _read(self, corner: Point, level: Level, location: Point, size: Size) -> Pixels:
        origin = (location.x, location.y)
        image = self._handle.read_region(origin, level.index, (size.width, size.height))
        return np.asarray(image)

    def _associated_names(self) -> tuple[str, ...]:
        return tuple(self._handle.associated_images)

    def _read_associated(self, name: str) -> Pixels:
        return np.asarray(self._handle.associated_images[name])

    def _read_icc_profile(self) -> bytes | None:
        return openslide.lowlevel.read_icc_profile(self._handle._osr)
