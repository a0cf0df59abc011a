"""What `tile` and `plan` share: which slides, which patches, and tiling's terms for them."""

import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from workflows.config import POSITIONAL, WorkflowConfig
from workflows.errors import UsageError

if TYPE_CHECKING:
    from tiling.manifest import ManifestRow
    from tiling.request import CutOptions, SlideSource

log = logging.getLogger(__name__)

NEEDS_PATH = ("mask", "geojson")
ENCODING = re.compile(r"auto|lossless|raw|jpeg:([1-9]\d?|100)(:420)?", re.ASCII)

PositiveMpp = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _known_encoding(text: str) -> str:
    if not ENCODING.fullmatch(text):
        raise ValueError(
            "it must be auto, jpeg:Q with Q from 1 to 100, jpeg:Q:420, lossless or raw"
        )
    return text


class CutConfig(WorkflowConfig):
    """Everything that decides which patches are cut, and how they are stored."""

    slides: Annotated[tuple[str, ...], POSITIONAL] = ()
    """Slide files, folders (searched for slides), globs in quotes, or URLs such as
    s3://bucket/slides/."""
    manifest: str | None = None
    """CSV that lists the slides instead: path, and if known slide_id, patient, site, label, mpp,
    split."""
    mpp: PositiveMpp | Literal["native"] = 0.5
    """Microns per pixel of the patches, or `native` for each slide's own."""
    mpp_tolerance: float = Field(default=0.03, ge=0, lt=0.5)
    """Relative difference up to which a level of the slide is used as it is; 0.03 is 3 percent."""
    patch_size: int = Field(default=256, ge=8, le=8192)
    """Side of a patch, in pixels."""
    stride: int | None = Field(default=None, ge=1, le=65536)
    """Distance between patches, in pixels; by default the patch size, so that none overlap."""
    min_tissue: float = Field(default=0.1, ge=0, le=1)
    """Least share of a patch, 0 to 1, that must be tissue for it to be kept; 0 keeps all."""
    tissue: Literal["otsu", "hsv", "mask", "geojson", "none"] = "otsu"
    """How tissue is found: threshold of the saturation, band of colours, given masks, given
    outlines in level-0 pixels, or not at all."""
    tissue_path: str | None = None
    """Mask or GeoJSON file, or a folder that holds one named after each slide."""
    min_object_um2: float = Field(default=10_000.0, ge=0)
    """Smaller pieces of tissue are dropped, in square microns; needs --tissue otsu or hsv."""
    max_hole_um2: float = Field(default=10_000.0, ge=0)
    """Smaller holes in the tissue are filled, in square microns; needs --tissue otsu or hsv."""
    exclude_pen: bool = True
    """Leave out strokes of a marker pen."""
    exclude_blank: bool = True
    """Leave out what was not scanned: exact white or exact black padding."""
    hsv_hue: tuple[float, float] = (180.0, 360.0)
    """Band of hues for --tissue hsv, lowest and highest, in degrees; low > high wraps around 0."""
    hsv_saturation: tuple[float, float] = (0.05, 1.0)
    """Band of saturations for --tissue hsv, 0 to 1."""
    hsv_value: tuple[float, float] = (0.15, 1.0)
    """Band of brightness for --tissue hsv, 0 to 1."""
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "auto"
    """How patches are stored: auto (the slide's own bytes where possible, else jpeg:95), jpeg:Q
    with Q from 1 to 100 (jpeg:Q:420 halves the resolution of colour), lossless, or raw."""
    pad_edges: bool = False
    """Keep patches that hang over the right and the lower edge, padded white."""
    slide_mpp: PositiveMpp | None = None
    """Microns per pixel at level 0 of slides that do not say it themselves."""
    max_unreadable: float = Field(default=0.1, ge=0, le=1)
    """Share of a slide's patches, 0 to 1, that may be unreadable before the slide fails."""
    icc: bool = False
    """Convert colours to sRGB by the slide's ICC profile; tiles cannot be copied then."""
    reader: str | None = None
    """Read slides with this reader (openslide, tiffslide or image); by default chosen by format."""

    @model_validator(mode="after")
    def _check(self) -> "CutConfig":
        if bool(self.slides) == bool(self.manifest):
            raise ValueError("give slides or a --manifest, and not both")
        if (self.tissue in NEEDS_PATH) != (self.tissue_path is not None):
            raise ValueError(
                "--tissue mask and --tissue geojson need a --tissue-path, and nothing else does"
            )
        return self


def cut_options(config: CutConfig) -> "CutOptions":
    """Translate into tiling's own options."""
    from tiling.request import CutOptions
    from tiling.tissue import TissueOptions

    return CutOptions(
        mpp=None if config.mpp == "native" else config.mpp,
        mpp_tolerance=config.mpp_tolerance,
        patch_size_px=config.patch_size,
        stride_px=config.stride,
        min_tissue=config.min_tissue,
        tissue=TissueOptions(
            method=config.tissue,
            path=config.tissue_path,
            min_object_um2=config.min_object_um2,
            max_hole_um2=config.max_hole_um2,
            exclude_pen=config.exclude_pen,
            exclude_blank=config.exclude_blank,
            hsv_hue=config.hsv_hue,
            hsv_saturation=config.hsv_saturation,
            hsv_value=config.hsv_value,
        ),
        encoding=config.encoding,
        pad_edges=config.pad_edges,
        max_unreadable=config.max_unreadable,
        icc=config.icc,
        reader=config.reader,
    )


def find_sources(config: CutConfig) -> "list[SlideSource]":
    """Find the slides that are asked for, in the order in which they are asked for.

    Raises:
        ManifestError: a slide does not exist, or two have the same ID.
        UsageError: there is no reader of the name that was given.
    """
    from tiling.collect import collect_slides
    from tiling.manifest import read_manifest

    _check_reader(config.reader)
    _check_tissue_path(config.tissue_path)
    rows = read_manifest(config.manifest) if config.manifest else collect_slides(config.slides)
    _warn(rows)
    without = {row.slide_id for row in _without_mpp(config, rows)}
    return [_source(row, config.slide_mpp if row.slide_id in without else row.mpp) for row in rows]


def _check_tissue_path(path: str | None) -> None:
    if path is not None and not Path(path).expanduser().exists():
        raise UsageError(f"--tissue-path: there is no {path}")


def _warn(rows: "Iterable[ManifestRow]") -> None:
    """Say what of a manifest was changed, or means nothing here."""
    rows = list(rows)
    for row in rows:
        if "slide_id_given" in row.extra:
            log.warning("slide_id %r is stored as %r", row.extra["slide_id_given"], row.slide_id)
    unknown = {name for row in rows for name in row.extra} - {"mask_path", "slide_id_given"}
    if unknown:
        log.warning("columns of the manifest that are not used: %s", ", ".join(sorted(unknown)))


def _check_reader(name: str | None) -> None:
    from wsi.readers import READERS

    if name is not None and name not in READERS:
        raise UsageError(f"--reader: there is no {name!r}, there are: {', '.join(READERS)}")


def _source(row: "ManifestRow", mpp: float | None) -> "SlideSource":
    from tiling.request import SlideSource

    return SlideSource(
        slide_id=row.slide_id,
        location=row.path,
        patient=row.patient or "",
        site=row.site or "",
        label=row.label or "",
        split=row.split or "",
        mpp=mpp,
        mask=row.extra.get("mask_path"),
    )


def _without_mpp(config: CutConfig, rows: "Iterable[ManifestRow]") -> "list[ManifestRow]":
    """Find the slides that neither their manifest nor their file gives a resolution for."""
    if config.slide_mpp is None:
        return []
    from concurrent.futures import ThreadPoolExecutor

    asked = [row for row in rows if row.mpp is None]
    with ThreadPoolExecutor(8) as pool:  # waiting for disks and networks, hardly any work
        missing = pool.map(lambda row: _lacks_mpp(row.path, config.reader), asked)
        return [row for row, lacking in zip(asked, missing, strict=True) if lacking]


def _lacks_mpp(location: str, reader: str | None) -> bool:
    from wsi import MissingMppError, SlideError, open_slide

    try:
        with open_slide(location, reader) as slide:
            _ = slide.mpp
    except MissingMppError:
        return True
    except SlideError:  # its own task will tell why
        return False
    return False
