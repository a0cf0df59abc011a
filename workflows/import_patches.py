"""`microtome import patches`: ready-made patches into an archive."""

import logging
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from workflows.config import POSITIONAL, nearest
from workflows.importing import ImportConfig, import_into
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback

if TYPE_CHECKING:
    from tiling.importing.patches import PatchJob

log = logging.getLogger(__name__)


def _known_labels(text: str) -> str:
    from tiling.importing.labelling import parse_mode

    parse_mode(text)
    return text


class ImportPatchesConfig(ImportConfig):
    """Bring ready-made patches into an archive, one group per patient or source slide.

    JPEG and 8-bit RGB PNG files are stored byte for byte; all else is decoded and stored without
    loss. Slides that the archive holds already are skipped; one that fails is recorded, and the
    others go on.
    """

    source: Annotated[str, POSITIONAL]
    """Folder of images, or a CSV with the columns file and, if known, mask, slide_id, patient,
    site, split, label, slide_label, x, y, mpp; paths are relative to the CSV."""
    slide_by: str = "auto"
    """What makes a slide: a column of the CSV, folder, name (of the files, as LUAD-HistoSeg and
    BCSS-WSSS write them), or one for all; auto takes slide_id, patient, name or folder, the first
    that is there."""
    labels: Annotated[str, AfterValidator(_known_labels)] = "auto"
    """Where labels are: folder, name ([1 0 0 1] as in LUAD-HistoSeg, [1001] as in BCSS-WSSS), none,
    or column:NAME (with commas several columns of 0 and 1); auto takes the column label, else
    names, else folders."""
    classes: str = ""
    """Names of the classes in their order, with commas; by default those of the convention, of the
    columns, or what occurs, sorted."""
    patch_size: int | None = Field(default=None, ge=8, le=8192)
    """Side in pixels to which images are resized, by area or bilinear; by default they are taken
    as they are."""
    mpp: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Microns per pixel of the images, where the CSV has no column mpp."""
    skip_unreadable: bool = False
    """Store images that cannot be read as white patches with status 2, instead of failing."""


def run(config: ImportPatchesConfig, progress: ProgressCallback) -> Outcome:
    """Import, then write the record, the failures and the report.

    Raises:
        ManifestError: there are no patches, or the CSV is wrong.
        ConflictError: the archive holds other versions of these slides.
        StoreError: the archive cannot be written.
    """
    return import_into(config, _jobs(config), progress)


def _jobs(config: ImportPatchesConfig) -> "list[PatchJob]":
    from tiling.importing.labelling import parse_mode
    from tiling.importing.patches import patch_jobs
    from tiling.importing.planning import PatchOptions
    from tiling.importing.rows import find_patches
    from tiling.importing.sets import group_slides

    classes = [name.strip() for name in config.classes.split(",") if name.strip()]
    patches = find_patches(config.source)
    _tell_unused(patches.columns, config)
    slides = group_slides(patches, config.slide_by, parse_mode(config.labels), classes)
    options = PatchOptions(config.patch_size, config.mpp, config.skip_unreadable)
    return list(patch_jobs(slides, options, config.source))


def _tell_unused(columns: tuple[str, ...], config: ImportPatchesConfig) -> None:
    """Warn of columns that nothing reads: a misspelt `split` would lose all splits."""
    from tiling.importing.rows import ALIASES

    asked = {config.slide_by, *config.labels.partition(":")[2].split(",")}
    for column in columns:
        if column not in ALIASES and column not in asked:
            log.warning("the column %r is not used; %s", column, nearest(column, ALIASES))
