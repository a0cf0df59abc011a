"""Slides through TiffSlide: OME-TIFF, any other TIFF of 8 bits, and remote files through fsspec."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from xml.etree import ElementTree

import numpy as np
import tiffslide

from wsi.color import Pixels
from wsi.errors import RegionError, UnsupportedSlideError
from wsi.geometry import Level, Point, Size
from wsi.mpp import MppRecord, mpp_from_properties, parse_mpp
from wsi.slide import Slide

MPP = ("tiffslide.mpp-x", "tiffslide.mpp-y")
OME_MPP = ("ome.PhysicalSizeX", "ome.PhysicalSizeY")
# Microns per unit of OME-XML's UnitsLength, as far as a microscope writes them.
MICRONS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
OME_DEFAULT_UNIT = "µm"
CHANNELS = (1, 3, 4)


class _LevelFrame(tiffslide.TiffSlide):
    """TiffSlide whose locations are pixels of the level, by the hook that it offers for this.

    Its own rule is int(location / downsample), one pixel off where rounding falls below.
    """

    def _read_region_loc_transform(self, location: tuple[int, int], level: int) -> tuple[int, int]:
        return location


class TiffSlideSlide(Slide):
    """A slide that TiffSlide opens; paths and URLs. Tiles that the file leaves out are black."""

    reader: ClassVar[str] = "tiffslide"
    _handle: tiffslide.TiffSlide

    def _open(self) -> None:
        with _quiet():
            try:
                self._handle = _LevelFrame(self.location)
            except tiffslide.TiffFileError as err:
                raise UnsupportedSlideError(f"{self.location}: not a TIFF: {err}") from err
            try:
                self._require_one_file()
            except UnsupportedSlideError:
                self._handle.close()
                raise

    def _require_one_file(self) -> None:
        """Refuse a file that names others: tifffile would open them, wherever they lie."""
        tif = self._handle.ts_tifffile
        try:
            has_others = tif.is_ndtiff or _names_others(tif.ome_metadata, tif.filename)
        except ElementTree.ParseError as err:
            raise UnsupportedSlideError(f"{self.location}: its OME-XML is damaged") from err
        if has_others:
            raise UnsupportedSlideError(
                f"{self.location}: parts of it lie in other files; only a slide that is one file "
                f"can be read"
            )

    def _close(self) -> None:
        self._handle.close()

    def _read_levels(self) -> tuple[Level, ...]:
        with _quiet():
            sizes, downsamples = self._handle.level_dimensions, self._handle.level_downsamples
        return tuple(
            Level(index, Size(int(size[0]), int(size[1])), float(downsample))
            for index, (size, downsample) in enumerate(zip(sizes, downsamples, strict=True))
        )

    def _read_properties(self) -> dict[str, str]:
        with _quiet():
            stated = self._handle.properties.items()
            texts = {name: str(value) for name, value in stated if value is not None}
            return texts | _ome_properties(self._handle.ts_tifffile.ome_metadata)

    def _metadata_mpp(self) -> MppRecord | None:
        by_ome = mpp_from_properties(self.properties, *OME_MPP)
        return by_ome or mpp_from_properties(self.properties, *MPP)

    def _read(self, corner: Point, level: Level, location: Point, size: Size) -> Pixels:
        with _quiet():
            pixels = self._handle.read_region(
                (corner.x, corner.y), level.index, (size.width, size.height), as_array=True
            )
        return _as_rgb(np.asarray(pixels), self.location)

    def _associated_names(self) -> tuple[str, ...]:
        return tuple(self._handle.associated_images)

    def _read_associated(self, name: str) -> Pixels:
        with _quiet():
            image = self._handle.associated_images[name]
        return np.array(image.convert("RGB"))

    def _read_icc_profile(self) -> bytes | None:
        profile = self._handle.ts_tifffile.pages.first.tags.valueof("InterColorProfile")
        return profile if isinstance(profile, bytes) else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings on formats that TiffSlide reads only in part, such as NDPI."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _as_rgb(pixels: np.ndarray[Any, Any], location: str) -> Pixels:
    """Grey, RGB or RGBA of 8 bits as u1 (h, w, 3 or 4)."""
    if pixels.dtype != np.uint8 or pixels.shape[2] not in CHANNELS:
        raise RegionError(
            f"{location}: pixels are {pixels.shape[2]} x {pixels.dtype}; only 8-bit grey, RGB or "
            f"RGBA can be shown"
        )
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels)


def _names_others(xml: str | None, own_name: str) -> bool:
    """Whether OME-XML puts pixels, or the metadata, into a file other than this one."""
    if not xml:
        return False
    root = ElementTree.fromstring(xml)
    if any(one.tag.endswith(("BinaryOnly", "MetadataFile")) for one in root.iter()):
        return True
    own = root.get("UUID")
    parts = [one for one in root.iter() if one.tag.endswith("UUID")]
    if own is not None:
        return any(part.text != own for part in parts)
    named = {part.get("FileName", "").lower() for part in parts}
    return len({part.text for part in parts}) > 1 or bool(named - {own_name.lower()})


def _ome_properties(xml: str | None) -> dict[str, str]:
    """Physical sizes of the first image of OME-XML, in um, and its objective."""
    if not xml:
        return {}
    root = ElementTree.fromstring(xml)
    pixels = root.find(".//{*}Pixels")
    found = {} if pixels is None else dict(_physical_sizes(pixels))
    objective = root.find(".//{*}Objective")
    power = None if objective is None else objective.get("NominalMagnification")
    return found if power is None else found | {"tiffslide.objective-power": power}


def _physical_sizes(pixels: ElementTree.Element) -> Iterator[tuple[str, str]]:
    for axis in "XY":
        value = parse_mpp(pixels.get(f"PhysicalSize{axis}"))
        unit = MICRONS.get(pixels.get(f"PhysicalSize{axis}Unit", OME_DEFAULT_UNIT))
        if value is not None and unit is not None:
            yield f"ome.PhysicalSize{axis}", repr(value * unit)
