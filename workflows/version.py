"""`microtome version`: versions of everything that has a say in pixels, or in a fault."""

import platform
from importlib import metadata
from typing import Any

from workflows.config import WorkflowConfig
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback

PACKAGES = (
    "openslide-python",
    "openslide-bin",
    "tiffslide",
    "tifffile",
    "imagecodecs",
    "simplejpeg",
    "pydicom",
    "zarr",
    "numpy",
    "dask",
    "distributed",
    "fsspec",
    "s3fs",
    "pyarrow",
    "pydantic",
    "torch",
)


class VersionConfig(WorkflowConfig):
    """Show the versions that matter."""


def run(config: VersionConfig, progress: ProgressCallback) -> Outcome:
    """Look up what is installed; nothing is imported."""
    del config, progress
    document: dict[str, Any] = {
        "microtome": package_version("microtome"),
        "archive_format": _archive_format(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: package_version(name) for name in PACKAGES},
    }
    return Outcome(document)


def package_version(name: str) -> str | None:
    """Version of an installed distribution; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _archive_format() -> int:
    from tiling.store import FORMAT

    return FORMAT
