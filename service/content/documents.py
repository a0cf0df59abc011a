"""What the routes of this folder answer, as JSON."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Pair = tuple[float, float]
"""Along x, then along y."""
Colour = tuple[int, int, int]


class Document(BaseModel):
    """An answer."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class ArchiveOut(Document):
    """An archive of slides."""

    name: str = Field(examples=["demo.zarr"])
    slides: int
    """Slides that are committed."""
    patches: int
    """Patches of all of them, as the archive's index has it."""
    patch_sizes_px: list[int]
    """Sides of patches; one, unless slides were cut differently."""
    mpps: list[float]
    """Microns per pixel of patches, rounded to 4 digits."""
    encoders: list[str]
    """Encoders whose embeddings a slide has; of large archives, one of those looked at."""
    maps: list[str]
    """Maps that a slide has; likewise."""


class ClassOut(Document):
    """A class of a tissue map."""

    number: int
    """In the map's array `classes`."""
    name: str
    colour: Colour
    """Red, green, blue from 0 to 255."""


class MapOut(Document):
    """A map of a slide."""

    name: str = Field(examples=["tissue"])
    archive: str = Field(examples=["demo.zarr"])
    kind: str = Field(examples=["tissue"])
    """`tissue` for classes, `attention` for what a slide classifier looked at."""
    classes: list[ClassOut] | None
    """Of a tissue map."""
    channels: list[str] | None
    """What a heatmap has a picture of."""
    mpp: Pair | None
    """Microns per pixel of the map."""
    size_px: tuple[int, int] | None
    """Width and height in pixels of the map; null where it has no picture."""
    level0_origin: Pair | None
    """Level-0 pixel of the corner of its first pixel."""
    level0_step: Pair | None
    """Level-0 pixels per pixel of the map."""
    arrays: list[str]
    made_by: dict[str, Any] | None
    """Model that made it, as its writer recorded it."""
    downloads: list[str]
    """Endings of what can be had of it: /api/v1/slides/{id}/maps/{name}ENDING."""


class ClassAreaOut(ClassOut):
    """How much of a slide a class takes."""

    pixels: int
    area_mm2: float
    share: float
    """Of all that has a class; 0 to 1."""
    entropy_mean: float | None
    """How unsure the map is of it, 0 to 1; null without any."""


class AreasOut(Document):
    """Areas of the classes of a map."""

    map: str
    archive: str
    mpp: Pair
    pixels: int
    area_mm2: float
    entropy_mean: float | None
    classes: list[ClassAreaOut]
    """In the order of their numbers, also those that never occur."""


class StatusCounts(Document):
    """How many patches have which status."""

    ok: int
    retried: int
    """Read at the second try."""
    unreadable: int
    """White, since the slide is damaged there."""


class PatchColumns(Document):
    """What is known of each patch, a list entry per patch, in the archive's order (y, then x)."""

    x: list[int]
    """Left edge in level-0 pixels."""
    y: list[int]
    """Upper edge in level-0 pixels."""
    tissue_fraction: list[float]
    status: list[int]
    """0 ok, 1 retried, 2 unreadable."""
    labels: list[int] | list[list[int]] | None
    """Number of a class, or 1, 0 and -1 (unknown) for each class."""


class PatchGrid(Document):
    """The patches of a slide."""

    archive: str = Field(examples=["demo.zarr"])
    count: int
    patch_size_px: int | None
    """Side in pixels as stored; null where patches are no squares, as slices may be."""
    patch_size_level0: Pair
    """Width and height in level-0 pixels; may be fractional."""
    stride_level0: Pair
    """Distance of neighbours in level-0 pixels."""
    mpp: Pair | None
    """Microns per pixel as stored."""
    encoding: str
    """How pixels are stored, such as passthrough, jpeg:95 or lossless."""
    status: StatusCounts
    label_names: list[str] | None
    """Classes of the patches' labels."""
    patches: PatchColumns | None = None
    """With format=json."""


class EmbeddingsOut(Document):
    """Embeddings of a slide's patches."""

    encoder: str = Field(examples=["uni2-h"])
    archive: str = Field(examples=["demo.zarr"])
    dim: int
    count: int
    dtype: Literal["float16", "float32"]
    card: dict[str, Any] | None
    """The EncoderCard: what made them."""


class SimilarPatch(Document):
    """A patch that is like another one."""

    slide: str
    patch: int
    """Index within its slide."""
    x: int
    """Left edge in level-0 pixels of its slide."""
    y: int
    """Upper edge."""
    size_level0: Pair
    """Width and height in level-0 pixels."""
    similarity: float
    """Cosine of both embeddings: 1 where they point the same way, -1 the opposite way."""


class SimilarOut(Document):
    """The patches that are most like one."""

    archive: str
    encoder: str
    slides: int
    """Slides that were searched."""
    patches: int
    """Patches that were searched."""
    items: list[SimilarPatch]
    """Most similar first; the patch itself is left out."""


class EncoderOut(Document):
    """An encoder that a job may be asked to use."""

    name: str = Field(examples=["resnet50"])
    """What a job's config names it by: a published one, or a checkpoint's path in the folder."""
    kind: Literal["published", "checkpoint"]
    encoder_id: str
    """Name of its embeddings."""
    architecture: str
    dim: int | None
    input_px: int
    mpp: float | None
    gated: bool
    """Whether its weights are given only to those who accept a licence."""
    licence: str
    page: str
    card: dict[str, Any] | None
    """The EncoderCard of a checkpoint."""


class ModelOut(Document):
    """A trained model in the service's folder."""

    path: str = Field(examples=["runs/a/segmenter.safetensors"])
    """In the service's folder; a job's config names it so."""
    kind: Literal["encoder", "classifier", "segmenter", "probe", "mil"]
    name: str
    classes: list[str] | None
    mpp: float | None
    card: dict[str, Any]
    """What it says of itself."""
