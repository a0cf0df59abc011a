"""Slides: readers, levels, regions in physical units, native tiles, colour, Deep Zoom."""

from wsi.deepzoom import DeepZoom
from wsi.errors import (
    InvalidRequestError,
    MissingMppError,
    MissingReaderError,
    RegionError,
    SlideError,
    UnreadableSlideError,
    UnsupportedSlideError,
)
from wsi.fingerprint import fingerprint
from wsi.geometry import Level, Mpp, Point, Region, Size
from wsi.mpp import MppRecord
from wsi.readers import open_slide, slide_extensions
from wsi.slide import Slide

__all__ = [
    "DeepZoom",
    "InvalidRequestError",
    "Level",
    "MissingMppError",
    "MissingReaderError",
    "Mpp",
    "MppRecord",
    "Point",
    "Region",
    "RegionError",
    "Size",
    "Slide",
    "SlideError",
    "UnreadableSlideError",
    "UnsupportedSlideError",
    "fingerprint",
    "open_slide",
    "slide_extensions",
]
