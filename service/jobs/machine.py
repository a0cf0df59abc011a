"""What the operator decides of a job: its cluster and its processes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.jobs.offers import Offer
from service.jobs.places import Placed
from service.jobs.sources import write_manifest

MANIFEST = "slides.csv"
BEGUN = "begun"
"""File that says that what lies in the output folder is of this job."""


def fill(
    offer: Offer,
    placed: Placed,
    folder: Path,
    *,
    scheduler: str | None,
    workers: int | None,
) -> dict[str, Any]:
    """Give the config that the workflow takes.

    Args:
        offer: the workflow.
        placed: what the client asked for, in the server's names.
        folder: of the job, for the list of its slides.
        scheduler: address of the cluster; None where there is none for this job.
        workers: processes on this machine; None for the workflow's own default.
    """
    config = dict(placed.config)
    folder.mkdir(parents=True, exist_ok=True)
    if placed.slides is not None:
        write_manifest(placed.slides, folder / MANIFEST)
        config["manifest"] = str(folder / MANIFEST)
    if "scheduler" in offer.hidden and scheduler is not None:
        config["scheduler"] = scheduler
    elif offer.cluster == "none" and "workers" in offer.hidden and workers is not None:
        config["workers"] = workers
    for path, _ in placed.outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
    if offer.anew:
        config |= _anew(placed, folder)
    return config


def _anew(placed: Placed, folder: Path) -> Mapping[str, Any]:
    """Let another attempt replace what an earlier one of the same job left, and nothing else."""
    mark = folder / BEGUN
    if mark.exists():
        return {"overwrite": True}
    if not any(path.is_dir() and any(path.iterdir()) for path, _ in placed.outputs):
        mark.touch()
    return {}
