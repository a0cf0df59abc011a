"""What is asked of a run: which slides, and which patches of them."""

import hashlib
import json
from dataclasses import asdict, dataclass, field

from tiling.errors import PlanError
from tiling.masks import GEOJSON_EXTENSIONS, MASK_EXTENSIONS, find_mask_file
from tiling.tissue import TissueOptions
from wsi.fingerprint import fingerprint
from wsi.readers import open_slide
from wsi.slide import Slide


@dataclass(frozen=True)
class SlideSource:
    """A slide as the user named it; `location` is a path or a URL."""

    slide_id: str
    location: str
    patient: str = ""
    site: str = ""
    label: str = ""
    split: str = ""
    mpp: float | None = None
    mask: str | None = None


@dataclass(frozen=True)
class CutOptions:
    """Everything that changes pixels, coordinates or which patches are kept.

    Attributes:
        mpp: microns per pixel of the patches; None for each slide's own.
        mpp_tolerance: relative difference up to which a level is used as it is.
        patch_size_px: side of a patch, in output pixels.
        stride_px: distance between patches, in output pixels; None for the patch size.
        min_tissue: least share of a kept patch that is tissue.
        tissue: how tissue is found.
        encoding: `auto`, `jpeg:Q`, `jpeg:Q:420`, `lossless` or `raw`.
        pad_edges: keep patches that hang over the right and lower edge, padded white.
        max_unreadable: share of unreadable patches above which a slide fails.
        icc: convert colours to sRGB by the slide's ICC profile.
        reader: name of the reader; None to choose by format.
    """

    mpp: float | None = 0.5
    mpp_tolerance: float = 0.03
    patch_size_px: int = 256
    stride_px: int | None = None
    min_tissue: float = 0.1
    tissue: TissueOptions = field(default_factory=TissueOptions)
    encoding: str = "auto"
    pad_edges: bool = False
    max_unreadable: float = 0.1
    icc: bool = False
    reader: str | None = None

    @property
    def stride(self) -> int:
        """Distance between patches, in output pixels."""
        return self.stride_px or self.patch_size_px


def config_hash(options: CutOptions, source: SlideSource) -> str:
    """Hash what changes pixels or coordinates of this slide; 16 hex digits."""
    settings = asdict(options) | {"slide_mpp": source.mpp, "mask": source.mask}
    settings["stride_px"] = options.stride
    settings["mask_content"] = _mask_content(options, source)
    del settings["max_unreadable"]  # decides whether a slide fails, not what it looks like
    canonical = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _mask_content(options: CutOptions, source: SlideSource) -> str | None:
    """Hash the mask or GeoJSON file that is used; None where none is, or where it is missing."""
    method, path = (
        ("mask", source.mask) if source.mask else (options.tissue.method, options.tissue.path)
    )
    extensions = {"mask": MASK_EXTENSIONS, "geojson": GEOJSON_EXTENSIONS}.get(method)
    if extensions is None:
        return None
    try:
        file = find_mask_file(str(path), source.slide_id, extensions)
    except PlanError:  # planning the slide will say so
        return None
    return str(fingerprint(str(file))["quick_hash"])


def open_source(source: SlideSource, options: CutOptions) -> Slide:
    """Open the slide with the options that belong to it."""
    return open_slide(source.location, reader=options.reader, mpp=source.mpp, icc=options.icc)
