"""`microtome map`: which tissue every pixel of a slide is, as a map in its archive and as files."""

from workflows.mapping.config import MapConfig
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback

__all__ = ["MapConfig", "run"]


def run(config: MapConfig, progress: ProgressCallback) -> Outcome:
    """Map slide after slide, then write the exports.

    Raises:
        UsageError: an option makes no sense, or --out is missing.
        StoreError: there is no archive, or it cannot be written.
        ConflictError: it holds other maps of this name.
        WeightsError: a model is missing or damaged.
        MismatchError: the models do not fit each other, or the resolution.
        MissingExtraError: torch is not installed.
    """
    if config.model is None:
        from workflows.mapping.patchmap import run_patch_map

        return run_patch_map(config, progress)
    from workflows.mapping.segmented import run_tissue_map

    return run_tissue_map(config, progress)
