"""`microtome partition`: say of every patch of slides where it lies, in ordered classes."""

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from workflows.config import POSITIONAL, WorkflowConfig
from workflows.errors import UsageError
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback, Update

if TYPE_CHECKING:
    from tiling.manifest import ManifestRow
    from tiling.positions import Section
    from tiling.store import Archive


class PartitionConfig(WorkflowConfig):
    """Write the partition of slides, which federated contrastive learning learns from.

    Zones are rings of tissue by distance from its border; sections are slides that were cut one
    after the other from a block. Volumes have a partition since their import.
    """

    archive: Annotated[str, POSITIONAL]
    """Path or URL of an archive."""
    by: Literal["zones", "sections"] = "zones"
    """zones: depth in the own piece of tissue, 0 outermost; sections: place of the slide among the
    serial sections of its patient."""
    partitions: int = Field(default=4, ge=1, le=32767)
    """Ordered classes; all sites of a federation take the same number."""
    manifest: str | None = None
    """For sections: CSV with the columns slide_id (or path), patient and the order."""
    order: str = "order"
    """Name of the manifest's column of the order: numbers, one patient's from top to bottom."""


def run(config: PartitionConfig, progress: ProgressCallback) -> Outcome:
    """Compute all, then write; what was written before is replaced.

    Raises:
        UsageError: sections without a manifest, or without their order.
        PlanError: patches without places, or two sections with one place.
        StoreError: there is no archive.
    """
    import numpy as np

    from tiling.positions import section_classes, write_partition, zones_of
    from tiling.store import Archive

    archive = Archive.open(config.archive)
    names, found = archive.slide_ids(), {}
    if config.by == "zones":
        for number, name in enumerate(names):
            found[name] = zones_of(archive[name], config.partitions)
            progress(Update(len(names), number + 1, 0, noun="slides"))
    else:
        classes = section_classes(_sections(config, archive), config.partitions)
        for name in names:
            found[name] = np.full(len(archive[name]), classes.get(name, -1), np.int16)
    write_partition(archive.storage, found)
    every = np.concatenate([*found.values(), np.zeros(0, np.int16)])
    counts = {f"{one}": int((every == one).sum()) for one in range(config.partitions)}
    told = {"archive": config.archive, "by": config.by, "slides": len(names), "patches": counts}
    return Outcome(told | {"unknown": int((every < 0).sum())})


def _sections(config: PartitionConfig, archive: "Archive") -> "list[Section]":
    from tiling.manifest import read_manifest
    from tiling.positions import Section

    if config.manifest is None:
        raise UsageError("--by sections needs --manifest FILE, which gives their order")
    rows = [row for row in read_manifest(config.manifest) if row.slide_id in archive]
    if not rows:
        raise UsageError(f"--manifest {config.manifest} names no slide of {config.archive}")
    if bare := [row for row in rows if not row.patient]:
        raise UsageError(
            f"--manifest {config.manifest} line {bare[0].line}: sections need the column patient, "
            "as those of one patient are one stack"
        )
    return [Section(row.slide_id, row.patient or "", _order(config, row)) for row in rows]


def _order(config: PartitionConfig, row: "ManifestRow") -> float:
    try:
        place = float(row.extra.get(config.order, ""))
    except ValueError:
        place = math.nan
    if not math.isfinite(place):
        raise UsageError(
            f"--manifest {config.manifest} line {row.line}: the column {config.order!r} must hold "
            "a number, the section's place"
        )
    return place
