"""What routes of slides take and give, as JSON."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.auth.documents import Utc
from service.errors import InvalidError
from service.slides.regions import REGION_SIDE_PX, Asked, Format

FAR = 1 << 40
SHA256 = r"^[0-9a-f]{64}$"


class Model(BaseModel):
    """Base of these: the sentence under a field is its description."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class InArchive(Model):
    """What an archive has of a slide."""

    name: str = Field(examples=["demo.zarr"])
    """Of the archive."""
    patches: int = Field(examples=[55])
    """How many were cut."""
    patch_size_px: int | None = Field(examples=[240])
    """Side of a patch as it is stored; null where patches are no squares, as slices may be."""
    mpp: tuple[float, float] | None = Field(examples=[(0.499, 0.499)])
    """Microns per pixel of a patch, x and y; null where nobody says."""
    maps: list[str] = Field(examples=[["tissue"]])
    """Names of its maps."""
    embeddings: list[str] = Field(examples=[["colour-layout"]])
    """Encoders whose embeddings it has."""


class SlideItem(Model):
    """A slide in the list."""

    id: str = Field(examples=["CMU-1-Small-Region"])
    """Of the slide."""
    patient: str | None = None
    """Only with the scope `phi`."""
    site: str | None = None
    """Where it comes from; only with the scope `phi`."""
    size_px: tuple[int, int] | None = Field(examples=[(2220, 2967)])
    """Width and height of level 0."""
    mpp: float | None = Field(examples=[0.499])
    """Microns per pixel of level 0, mean of both axes; null where nobody says."""
    pixels: bool = True
    """Whether the slide's file is here, so that tiles and regions can be asked for."""
    archives: list[InArchive]
    """The archives that hold it."""
    unreadable: list[str] = []
    """Archives whose copy of it is damaged, or cannot be read now."""
    registered: Utc | None = None
    """When it was registered or uploaded, UTC; null where only archives know it."""


class SlideLevel(Model):
    """One resolution of a slide."""

    index: int = Field(examples=[0])
    """0 is the finest."""
    size_px: tuple[int, int] = Field(examples=[(2220, 2967)])
    """Width and height."""
    downsample: float = Field(examples=[1.0])
    """Level-0 pixels per pixel."""
    tile_px: tuple[int, int] | None = None
    """Width and height of the file's own tiles, where they can be read."""
    codec: Literal["jpeg", "jpeg2k"] | None = None
    """How those are compressed."""


class Resolution(Model):
    """Microns per pixel of level 0."""

    x: float = Field(examples=[0.499])
    y: float = Field(examples=[0.499])
    origin: str = Field(examples=["openslide.mpp-x, openslide.mpp-y"])
    """The properties that say so, or `override` where somebody gave it."""


class Bounds(Model):
    """The scanned part, in level-0 pixels."""

    x: int
    y: int
    width: int
    height: int


class DeepZoomInfo(Model):
    """How the tiles of `….dzi` are addressed."""

    tile_px: int = Field(examples=[240])
    """Side of a tile: that of the file's own tiles, where a viewer can be given those."""
    overlap: int = 0
    levels: int = Field(examples=[13])
    """The last one is level 0 of the slide."""


class SlideDetails(SlideItem):
    """All that is known of a slide."""

    levels: list[SlideLevel] = []
    """Resolutions, finest first."""
    resolution: Resolution | None = None
    """Microns per pixel of level 0 by axis, and where that came from."""
    vendor: str | None = Field(default=None, examples=["aperio"])
    """The scanner's maker or the file family."""
    objective: float | None = Field(default=None, examples=[20.0])
    """Nominal magnification."""
    bounds: Bounds | None = None
    """The scanned part of level 0."""
    background: str | None = Field(default=None, examples=["#ffffff"])
    """Colour of what was not scanned."""
    reader: str | None = Field(default=None, examples=["openslide"])
    """The library that opens it."""
    deepzoom: DeepZoomInfo | None = None
    """Null where there are no pixels."""
    properties: dict[str, str] | None = None
    """Everything that the file says, such as dates and barcodes; only with the scope `phi`."""


class SlideToRegister(Model):
    """A slide file under the folder of slides."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"path": "2024/CMU-1.svs", "mpp": 0.5}]},
    )

    path: str = Field(min_length=1, max_length=1000)
    """Relative to the folder of slides."""
    id: str | None = Field(default=None, min_length=1, max_length=120)
    """ID of the slide; by default made of the path."""
    mpp: float | None = Field(default=None, gt=0, le=1000, allow_inf_nan=False)
    """Microns per pixel of level 0, in place of what the file says."""


class UploadToBegin(Model):
    """A slide that is going to be sent in pieces."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"name": "CMU-1.svs", "size_bytes": 1938955}]},
    )

    name: str = Field(min_length=1, max_length=255)
    """File name; its extension says what it is."""
    size_bytes: int = Field(ge=1, le=1 << 50)
    """Of the whole file."""
    id: str | None = Field(default=None, min_length=1, max_length=120)
    """ID of the slide; by default made of the name."""
    sha256: str | None = Field(default=None, pattern=SHA256)
    """Of the whole file, hexadecimal; checked when it is complete."""
    mpp: float | None = Field(default=None, gt=0, le=1000, allow_inf_nan=False)
    """Microns per pixel of level 0, in place of what the file says."""


class Upload(Model):
    """A slide on its way."""

    id: str = Field(examples=["0d6e0b3c5a5c4b0f9d0f6f2f1f0c9a7e"])
    """Of the upload."""
    name: str = Field(examples=["CMU-1.svs"])
    """File name."""
    offset: int = Field(examples=[0])
    """Bytes that are there; the next piece begins here."""
    size_bytes: int = Field(examples=[1938955])
    """Of the whole file."""
    slide: str | None = None
    """ID of the slide that it has become; null until it is complete."""


class RegionQuery(Model):
    """A rectangle of a slide."""

    x: int = Field(ge=-FAR, le=FAR, examples=[512])
    """Left edge, level-0 pixels."""
    y: int = Field(ge=-FAR, le=FAR, examples=[512])
    """Top edge, level-0 pixels."""
    width: int = Field(ge=1, le=REGION_SIDE_PX, examples=[256])
    """Of the answer, pixels."""
    height: int = Field(ge=1, le=REGION_SIDE_PX, examples=[256])
    """Of the answer, pixels."""
    level: int | None = Field(default=None, ge=0, le=100)
    """Whose pixels are given as they are; 0 by default."""
    mpp: float | None = Field(default=None, gt=0, le=10_000, allow_inf_nan=False)
    """Microns per pixel of the answer, instead of a level."""
    format: Format = "jpeg"
    """Of the answer."""

    @property
    def asked(self) -> Asked:
        """The rectangle.

        Raises:
            InvalidError: both a level and microns per pixel.
        """
        if self.level is not None and self.mpp is not None:
            raise InvalidError("give `level` or `mpp`, not both")
        return Asked(self.x, self.y, self.width, self.height, self.level, self.mpp)


class Associated(Model):
    """Names of the images that a slide file holds beside its pixels."""

    names: list[str] = Field(examples=[["label", "macro", "thumbnail"]])


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Schema for a place of the OpenAPI document that FastAPI does not fill."""
    schema = model.model_json_schema()
    return {key: value for key, value in schema.items() if key != "$defs"}
