"""What `microtome map` may be told."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from workflows.config import POSITIONAL, WorkflowConfig, option_name
from workflows.cutting import NEEDS_PATH, PositiveMpp

Format = Literal["png", "geojson", "ome-tiff", "dzi", "areas", "entropy"]

GATE = ("classifier", "gate_epsilon", "gate_on")
"""Options of the gate."""
PIXELS = (
    *("gate", *GATE, "overlap", "window_px", "mpp"),
    *("workers", "scheduler", "precision", "batch"),
)
"""Options of maps of pixels, which have no effect on maps of patches."""


class MapConfig(WorkflowConfig):
    """Map the tissue of whole slides.

    Give --model for a map of pixels by a segmenter, --encoder and --probe for one of patches by
    their embeddings, or --attention for what a slide classifier looked at. Maps that are there
    already are skipped, one that was interrupted goes on; a slide that fails is recorded, and the
    others go on.
    """

    slides: Annotated[tuple[str, ...], POSITIONAL] = ()
    """An archive, or what it is to be made of: slide files, folders (searched for slides), globs in
    quotes, or URLs."""
    manifest: str | None = None
    """CSV that lists the slides instead, as for `microtome tile`."""
    model: str | None = None
    """Segmenter: a file, or the folder of a run that trained it."""
    encoder: str | None = None
    """Encoder of a patch-level map: the name of embeddings in the archive, or an encoder."""
    probe: str | None = None
    """Linear probe of a patch-level map: what says classes of the encoder's embeddings."""
    attention: str | None = None
    """Folder of a run of `microtome mil train`, whose attention is mapped."""
    classifier: str | None = None
    """Classifier of stage 1 for the gate: a file or a run's folder; by default the one beside the
    model."""
    gate: bool = True
    """Remove classes that the classifier does not see in a window."""
    gate_epsilon: float = Field(default=0.1, ge=0, lt=1)
    """Probability, 0 to 1, up to which a class is removed."""
    gate_on: Literal["probabilities", "logits"] = "probabilities"
    """What the gate acts on; logits repeats the published code, where removed classes may win."""
    out: str | None = None
    """Folder for exports, OUT/<slide_id>/; needed for slides, whose archive is OUT/archive.zarr."""
    name: str | None = None
    """Name of the map in the archive, maps/<name>; by default the model's."""
    formats: tuple[Format, ...] = ("png", "geojson", "areas")
    """What is exported: png, geojson (QuPath), ome-tiff, dzi, areas (mm2 of each class, JSON and
    CSV), entropy (PNG of how unsure the map is)."""
    overlap: float = Field(default=0.25, ge=0, le=4096)
    """What neighbouring windows share: a share of the window below 1, else pixels; at most half."""
    window_px: int | None = Field(default=None, ge=8, le=8192)
    """Side of the windows in pixels; by default that of the model's patches."""
    mpp: PositiveMpp | None = None
    """Microns per pixel of the map; needed where the model does not say its own."""
    force: bool = False
    """Map at another resolution than the model or its classifier was made for; is recorded."""
    workers: int | None = Field(default=None, ge=1, le=1024)
    """Processes, which share the slides and the cores; by default one, or one per GPU."""
    scheduler: str | None = None
    """Address of a running Dask scheduler to use instead, such as tcp://host:8786."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it is computed; auto takes the GPUs that there are."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Number format of the computation; auto is bf16 on a GPU and float32 elsewhere."""
    batch: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = "auto"
    """Windows at a time; auto suits the memory. Where a GPU's is short after all, it is halved."""
    slide: str | None = None
    """Map only the slide of this ID."""
    split: str | None = None
    """Map only slides of this split in the manifest."""
    overwrite: bool = False
    """Replace maps of the same name, and slides, that were made otherwise."""
    tissue: Literal["otsu", "hsv", "mask", "geojson", "none"] = "otsu"
    """How tissue of slides is found; an archive has its own. As for `microtome tile`, which has
    more options: cut with it first where they are needed."""
    tissue_path: str | None = None
    """Mask or GeoJSON file of the tissue, or a folder that holds one named after each slide."""
    slide_mpp: PositiveMpp | None = None
    """Microns per pixel at level 0 of slides that do not say it themselves."""
    reader: str | None = None
    """Read slides with this reader (openslide, tiffslide or image); by default chosen by format."""

    @model_validator(mode="after")
    def _check(self) -> "MapConfig":
        ways = [
            self.model is not None,
            bool(self.encoder or self.probe),
            self.attention is not None,
        ]
        if sum(ways) != 1:
            raise ValueError("give --model, or --encoder and --probe, or --attention: one of them")
        if self.model is None and (given := self.told(PIXELS)):
            raise ValueError(f"{', '.join(given)}: only with --model")
        if not self.gate and (given := self.told(GATE)):
            raise ValueError(f"{', '.join(given)}: for the gate, which --no-gate switches off")
        if bool(self.slides) == bool(self.manifest):
            raise ValueError("give slides, an archive or a --manifest, and only one of them")
        if (self.tissue in NEEDS_PATH) != (self.tissue_path is not None):
            raise ValueError(
                "--tissue mask and --tissue geojson need a --tissue-path, and nothing else does"
            )
        return self

    def told(self, names: Iterable[str]) -> list[str]:
        """Name the options, of some, that are not as they usually are."""
        fields = type(self).model_fields
        given = [name for name in names if getattr(self, name) != fields[name].default]
        return [option_name(name) for name in given]
