"""`microtome plan` and `tile --dry-run`: what would be cut, how it is stored, and what it costs."""

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from workflows.cluster import cores
from workflows.cutting import CutConfig, cut_options, find_sources
from workflows.estimate import HOW, START_S, Work, seconds_of
from workflows.outcome import ALL_GOOD, SOME_FAILED, USAGE, Outcome
from workflows.pool import spread
from workflows.progress import ProgressCallback, Update

if TYPE_CHECKING:
    from tiling.plan import SlidePlan
    from tiling.request import CutOptions, SlideSource

ALONE = 4
"""Up to so many slides are planned in this process: starting others takes longer."""


class PlanConfig(CutConfig):
    """Say what `tile` would do with the same options, without cutting a patch or writing a file.

    Exits with 3 where slides would fail, and with 2 where `tile` would refuse for the archive holds
    other versions of them. Per slide: resolution and its origin, level, grid, kept patches,
    encoding and why, size, files.
    """

    out: str | None = None
    """The archive that would be written; with it, slides that it holds already are marked."""
    workers: int | None = Field(default=None, ge=1, le=4096)
    """Processes that plan, and that the time is estimated for; by default one per core."""


def run(config: PlanConfig, progress: ProgressCallback) -> Outcome:
    """Plan every slide.

    Raises:
        ManifestError: the list of slides is wrong.
    """
    return plan_cut(config, config.out, config.workers, progress)


def plan_cut(
    config: CutConfig,
    out: str | None,
    workers: int | None,
    progress: ProgressCallback,
    *,
    overwrite: bool = False,
) -> Outcome:
    """Plan what would be cut into `out`; with `overwrite`, other versions there are no conflict."""
    sources, options = find_sources(config), cut_options(config)
    count = workers or cores()
    describe = partial(describe_slide, options=options, out=out)
    started, plans = time.monotonic(), []
    for plan in spread(describe, sources, 1 if len(sources) <= ALONE else count):
        plans.append(plan)
        failed = sum(1 for known in plans if known["state"] == "failed")
        elapsed = time.monotonic() - started
        progress(Update(len(sources), len(plans), failed, elapsed_s=elapsed))
    order = {source.slide_id: i for i, source in enumerate(sources)}
    plans.sort(key=lambda known: order[known["slide_id"]])
    document = {"plans": plans, "total": _total(plans, count), "archive": out}
    return Outcome(document, _exit_code({plan["state"] for plan in plans}, overwrite=overwrite))


def _exit_code(states: set[str], *, overwrite: bool) -> int:
    if "conflict" in states and not overwrite:
        return USAGE
    return SOME_FAILED if "failed" in states else ALL_GOOD


def describe_slide(
    source: "SlideSource", options: "CutOptions", out: str | None = None
) -> dict[str, Any]:
    """Plan one slide; what is wrong with it is part of the answer."""
    from tiling.errors import TilingError
    from tiling.plan import plan_slide
    from wsi.errors import SlideError

    known: dict[str, Any] = {"slide_id": source.slide_id, "path": source.location}
    try:
        plan = plan_slide(source, options)
        state = _state(source, options, out)
        return known | _facts(plan, _read_from(plan)) | state
    except (SlideError, TilingError) as err:
        return known | {"state": "failed", "error": str(err), "cause": type(err).__name__}


def _state(source: "SlideSource", options: "CutOptions", out: str | None) -> dict[str, str]:
    from tiling.errors import StoreError
    from tiling.existing import why_conflict
    from tiling.store import Archive

    if out is None:
        return {"state": "new"}
    try:
        archive = Archive.open(out)
    except StoreError:
        return {"state": "new"}
    if source.slide_id not in archive:
        return {"state": "new"}
    conflict = why_conflict(archive, source, options)
    return {"state": "done"} if conflict is None else {"state": "conflict", "error": conflict}


def _read_from(plan: "SlidePlan") -> str:
    from tiling.request import open_source

    with open_source(plan.source, plan.options) as slide:
        native = slide.native_tiles(plan.resolution.level)
        return "region" if native is None else native.codec


def _facts(plan: "SlidePlan", read_from: str) -> dict[str, Any]:
    resolution, known = plan.resolution, plan.attributes
    reduction = resolution.reduction_x * resolution.reduction_y
    work = Work(len(plan), plan.options.patch_size_px, reduction, read_from, plan.encoding.label)
    shards = -(-len(plan) // plan.patches_per_shard)
    return {
        "mpp": known["mpp"],
        "mpp_requested": resolution.requested,
        "mpp_effective": known["mpp_effective"],
        "level": resolution.level,
        "reduction": known["reduction"],
        "patch_size_px": plan.options.patch_size_px,
        "grid": [plan.grid.columns, plan.grid.rows],
        "n_grid": len(plan.grid),
        "n_patches": len(plan),
        "tissue_fraction": float(plan.tissue_mask.mean()),
        "encoding": {"label": plan.encoding.label, "reason": plan.encoding.reason},
        "bytes": plan.bytes_estimate,
        "files": shards + 2 * FIXED_ARRAYS + 2,
        "core_seconds": round(seconds_of(work), 3),
    }


FIXED_ARRAYS = 5
"""coords, tissue_fraction, status, tissue_mask, thumbnail: a document and a chunk each; the patches
have a document and their shards, the slide a document."""


def _total(plans: Sequence[dict[str, Any]], workers: int) -> dict[str, Any]:
    todo = [plan for plan in plans if plan["state"] in ("new", "conflict")]
    return {
        "slides": len(plans),
        "to_cut": len(todo),
        "failed": sum(1 for plan in plans if plan["state"] == "failed"),
        "patches": sum(plan["n_patches"] for plan in todo),
        "bytes": sum(plan["bytes"] for plan in todo),
        "files": sum(plan["files"] for plan in todo) + 2,
        "workers": workers,
        "seconds": round(START_S + sum(plan["core_seconds"] for plan in todo) / workers, 1),
        "how": HOW,
    }
