"""`microtome map --model`: maps of pixels by a segmenter, of slides or of an archive's slides."""

import logging
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tiling.maps import SHARD_BYTES
from workflows.beside import FAILURES, Beside, failures_csv
from workflows.cluster import starting_client
from workflows.errors import UsageError
from workflows.extras import needs
from workflows.mapping.places import Place, find_place
from workflows.mapping.slides import slide_names
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.progress import ProgressCallback, Update

if TYPE_CHECKING:
    from models.embedding.outcome import Progress
    from models.mapping.request import MapEngine, MapRequest
    from models.mapping.run import MapSummary
    from models.mapping.setup import MapWorkers
    from models.segmentation.card import TissueCard
    from tiling.store import Archive
    from workflows.mapping.config import MapConfig

MAP_SHARD_BYTES = SHARD_BYTES // 2
"""See `MapPlan.shard_bytes`: what is lost when a run is killed."""

log = logging.getLogger(__name__)


def run_tissue_map(config: "MapConfig", progress: ProgressCallback) -> Outcome:
    """Cut slides where that is needed, map them, then write the exports.

    Raises:
        UsageError: an option makes no sense, or --out is missing.
        StoreError: there is no archive, or it cannot be written.
        ConflictError: it holds other maps of this name.
        WeightsError: a model is missing or damaged.
        MismatchError: the models do not fit each other, or the resolution.
        MissingExtraError: torch is not installed.
    """
    started = time.monotonic()
    place = find_place(config)
    engine = _engine(config)
    grow = config.workers is None and config.scheduler is None
    with starting_client(config.workers or 1, config.scheduler) as client, needs("models"):
        from models.mapping.run import MapMeans, run_maps
        from models.mapping.setup import find_map_workers

        workers = find_map_workers(client(), engine, grow=grow)
        for note in workers.notes:
            log.warning("%s", note)
        wanted = _request(config, workers)
        cut = place.cut(config, wanted.mpp, wanted.card.patch_px, progress)
        archive = place.open()
        names = [] if cut.slide_ids == () else slide_names(config, archive, cut.slide_ids)
        request = _with_precision(config, workers, archive, names, wanted)
        means = MapMeans(workers.client, workers.engine, workers.resources)
        summary = run_maps(archive, names, request, means, lambda now: progress(_update(now)))
    document = _document(config, place, workers, request, summary)
    document["outcomes"] += cut.failed
    _export(config, place, document, request.name)
    document["seconds"] = round(time.monotonic() - started, 3)
    _count(document)
    document["files"] = _write_record(archive, document)
    return Outcome(document, SOME_FAILED if document["slides"]["failed"] else ALL_GOOD)


def _engine(config: "MapConfig") -> "MapEngine":
    from models.mapping.request import MapEngine
    from models.segmentation.model import require_role
    from models.segmentation.places import find_beside, find_model

    segmenter = find_model(str(config.model), "segmenter")
    require_role(segmenter, "segmenter")
    classifier = None
    if config.gate and config.classifier is not None:
        classifier = find_model(config.classifier, "classifier")
    elif config.gate:
        classifier = find_beside(segmenter)
        if classifier is None:
            raise UsageError(
                f"the gate needs a classifier, and there is none beside {segmenter}; give it by "
                "--classifier, or map without a gate: --no-gate"
            )
    return MapEngine(
        str(segmenter.absolute()),
        None if classifier is None else str(classifier.absolute()),
        config.window_px,
        config.device,
        batch=None if config.batch == "auto" else config.batch,
    )


def _request(config: "MapConfig", workers: "MapWorkers") -> "MapRequest":
    from models.mapping.request import GateSpec, MapRequest

    card = workers.card
    mpp, forced = _resolution(config, card, workers.classifier)
    window_px = config.window_px or card.patch_px
    gate: GateSpec | None = None
    if workers.classifier is not None:
        gate = GateSpec(config.gate_on, config.gate_epsilon)
        learned_px = workers.classifier.patch_px
        if learned_px != window_px:
            forced.append(f"the gate sees windows of {window_px} px, and learned from {learned_px}")
    return MapRequest(
        name=config.name or safe_name(card.name),
        card=card,
        classifier=workers.classifier,
        gate=gate,
        mpp=mpp,
        window_px=window_px,
        overlap_px=overlap_px(config.overlap, window_px),
        forced=tuple(forced),
        overwrite=config.overwrite,
        shard_bytes=MAP_SHARD_BYTES,
    )


def _resolution(
    config: "MapConfig", card: "TissueCard", classifier: "TissueCard | None"
) -> tuple[float, list[str]]:
    """Choose microns per pixel, and say what was forced."""
    mpp = config.mpp or card.mpp
    if mpp is None:
        raise UsageError(f"{card.name} does not say at which resolution it was trained; give --mpp")
    forced = card.require_mpp(mpp, force=config.force, what="the map has")
    if classifier is not None:
        forced += classifier.require_mpp(mpp, force=config.force, what="the map has")
    return mpp, forced


def overlap_px(overlap: float, window_px: int) -> int:
    """Give the overlap in pixels: a share of the window below 1, else pixels already.

    Raises:
        UsageError: windows would share more than a half.
    """
    found = round(overlap * window_px) if overlap < 1 else round(overlap)
    if 2 * found > window_px:
        raise UsageError(
            f"--overlap: windows of {window_px} px may share at most {window_px // 2} px, got "
            f"{overlap:g}"
        )
    return found


def safe_name(name: str) -> str:
    """Make a name of a map from any name: other signs than letters, digits and ._+- become -."""
    safe = re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-._+")[:128]
    return safe or "tissue"


def _with_precision(
    config: "MapConfig",
    workers: "MapWorkers",
    archive: "Archive",
    names: list[str],
    request: "MapRequest",
) -> "MapRequest":
    """Choose the number format: as asked for, as in maps that are there, or by the device."""
    from dataclasses import replace

    from models.mapping.planning import recorded_precision

    if config.precision != "auto":
        return replace(request, precision=config.precision)
    found = (recorded_precision(store, request) for store in archive.sound_stores(names))
    recorded = next((precision for precision in found if precision), None)
    if recorded is not None:
        return replace(request, precision=recorded)
    return replace(request, precision="bf16" if workers.device == "cuda" else "float32")


def _update(now: "Progress") -> Update:
    return Update(
        slides_total=now.slides_total,
        slides_done=now.slides_done,
        slides_failed=now.slides_failed,
        patches_total=now.patches_total,
        patches_done=now.patches_done,
        bytes_done=now.bytes_written,
        elapsed_s=now.elapsed_s,
    )


def _document(
    config: "MapConfig",
    place: Place,
    workers: "MapWorkers",
    request: "MapRequest",
    summary: "MapSummary",
) -> dict[str, Any]:
    done = [outcome for outcome in summary.outcomes if outcome.state == "done"]
    windows = sum(outcome.patches for outcome in done)
    outcomes = [
        asdict(outcome) | {"unreadable": summary.unreadable.get(outcome.slide_id, 0), "files": {}}
        for outcome in summary.outcomes
    ]
    for known in outcomes:
        known["windows"] = known.pop("patches")
    return {
        "archive": place.archive,
        "map": request.name,
        "out": config.out,
        "config": config.model_dump(mode="json"),
        "model": _models(request),
        "mpp": request.mpp,
        "window_px": request.window_px,
        "overlap_px": request.overlap_px,
        "setting": {"device": workers.device, "precision": request.precision}
        | {"batch": summary.batch},
        "workers": workers.count,
        "notes": list(workers.notes),
        "forced": list(request.forced),
        "windows": windows,
        "bytes": sum(outcome.bytes for outcome in done),
        "map_seconds": round(summary.seconds, 3),
        "windows_per_s": round(windows / max(summary.seconds, 1e-9), 2),
        "outcomes": outcomes,
    }


def _models(request: "MapRequest") -> dict[str, Any]:
    return {
        "card": request.card.model_dump(mode="json"),
        "classifier": request.classifier and request.classifier.name,
        "gate": request.gate and asdict(request.gate),
    }


def _count(document: dict[str, Any]) -> None:
    states = Counter(outcome["state"] for outcome in document["outcomes"])
    document["slides"] = {name: states[name] for name in ("done", "skipped", "failed")}


def _export(config: "MapConfig", place: Place, document: dict[str, Any], name: str) -> None:
    """Write the files of every slide that has its map; a slide whose files fail has failed."""
    from workflows.mapping.exporting import Job, export_all

    if place.exports is None:
        return
    whole = {known["slide_id"]: known for known in document["outcomes"]}
    names = [slide_id for slide_id, known in whole.items() if known["state"] != "failed"]
    job = Job(place.archive, name, str(place.exports), config.formats)
    for slide_id, found in export_all(job, names, config.workers):
        whole[slide_id] |= found


def _write_record(archive: "Archive", document: Mapping[str, Any]) -> dict[str, str | None]:
    """Write the record and the failures beside the archive; no failure of this is fatal."""
    kind = f"map-{document['map']}"
    files: dict[str, str | None] = {"run": None, "failures": None}
    failed = [_failure(archive, known) for known in document["outcomes"] if _is_bad(known)]
    try:
        beside = Beside(archive.location)
        files["run"] = beside.write_json(f"{kind}.json", document)
        if failed:
            files["failures"] = beside.write(f"{kind}.{FAILURES}", failures_csv(failed))
        else:
            beside.remove(f"{kind}.{FAILURES}")
    except OSError as err:
        log.warning("the maps are in the archive, but not all files beside it: %s", err)
    return files


def _is_bad(known: Mapping[str, Any]) -> bool:
    return bool(known["state"] == "failed")


def _failure(archive: "Archive", known: Mapping[str, Any]) -> dict[str, Any]:
    slide_id = known["slide_id"]
    path = known.get("path")
    store = None if path else next(archive.sound_stores([slide_id]), None)
    if store is not None:
        path = store.attributes.get("source", {}).get("uri")
    return {**known, "path": path or ""}
