"""`microtome import volumes`: NIfTI volumes into an archive, slices as patches."""

from typing import Annotated

from pydantic import Field

from workflows.config import POSITIONAL
from workflows.extras import needs
from workflows.importing import ImportConfig, import_into
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback


class ImportVolumesConfig(ImportConfig):
    """Bring NIfTI volumes into an archive, one group per volume, its slices as patches.

    Numbers are stored as they are in the file, of one channel, beside the label map where there is
    one. Every slice gets its partition: which of S ordered parts of the volume it is in.
    """

    source: Annotated[str, POSITIONAL]
    """Folder of .nii and .nii.gz files (label maps in a folder labels or masks beside them), or a
    CSV with the columns image and, if known, label, volume, client, patient, split."""
    axis: int = Field(default=-1, ge=-3, le=2)
    """Axis of the file along which a volume is cut into slices; -1 is the last."""
    partitions: int = Field(default=4, ge=1, le=32767)
    """Ordered parts to which the slices of a volume are assigned, from 0 on."""


def run(config: ImportVolumesConfig, progress: ProgressCallback) -> Outcome:
    """Import, then write the record, the failures and the report.

    Raises:
        MissingExtraError: nibabel is not installed.
        ManifestError: there are no volumes, or the CSV is wrong.
        ConflictError: the archive holds other versions of these volumes.
        StoreError: the archive cannot be written.
    """
    with needs("models"):
        import nibabel  # noqa: F401 - before any work, for the one sentence of what to install

    from tiling.importing.volume_rows import find_volumes
    from tiling.importing.volumes import VolumeOptions, volume_jobs
    from workflows.cluster import cores

    options = VolumeOptions(config.axis, config.partitions)
    jobs = list(volume_jobs(find_volumes(config.source), options, config.source))
    return import_into(config, jobs, progress, at_once=config.workers or cores())
