"""`microtome embed`: store an encoder's embeddings of every patch of an archive."""

import logging
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from workflows.cluster import starting_client
from workflows.config import POSITIONAL, WorkflowConfig, nearest
from workflows.errors import UsageError
from workflows.extras import needs
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.progress import ProgressCallback, Update

if TYPE_CHECKING:
    from models.embedding.engine import Engine
    from models.embedding.outcome import Progress, Summary
    from models.embedding.planning import Planned, Request
    from models.embedding.setting import Choice
    from models.embedding.setup import Workers
    from tiling.store import Archive

    Found = tuple[Workers, Request, Planned, Choice]

log = logging.getLogger(__name__)


class EmbedConfig(WorkflowConfig):
    """Store an encoder's embeddings of every patch, one row per patch in the order of the patches.

    Slides that have them already are skipped; one that fails is recorded, and the others go on.
    Patches that were unreadable when the slide was cut are white, and are embedded like others, so
    that rows and patches stay in step; the slide's status says which they are.
    """

    archive: Annotated[str, POSITIONAL]
    """Path or URL of an archive."""
    encoder: str
    """Name of an encoder (`microtome encoders` lists them), or a checkpoint's file."""
    weights: str | None = None
    """File of weights, or random:SEED; by default those that belong to the name."""
    layer: str = "last"
    """Which output: last, last2, stage1 to stage4, cls, mean, cls+mean."""
    stage_tap: Literal["pre_merge", "post_merge"] = "pre_merge"
    """Where a stage of a Swin network ends: before its maps are merged, or after."""
    stage_norm: Literal["none", "layernorm"] = "none"
    """Normalise the maps of stages over their channels before they are averaged."""
    input_px: int | None = Field(default=None, ge=1)
    """Side of the encoder's input in pixels, if it can take another than its own."""
    dtype: Literal["float16", "float32"] = "float16"
    """Number format that is stored."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Number format of the computation; auto measures, and float32 gives repeatable results."""
    batch: Literal["auto"] | Annotated[int, Field(ge=1, le=65536)] = "auto"
    """Patches at a time; auto suits the memory. Where a GPU's is short after all, it is halved."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it is computed; auto takes the GPUs that there are."""
    decoders: int | None = Field(default=None, ge=1, le=256)
    """Threads of each worker that read and decode ahead; by default one, with a GPU up to eight."""
    workers: int | None = Field(default=None, ge=1, le=1024)
    """Processes, which share the cores; by default one, or one per GPU."""
    scheduler: str | None = None
    """Address of a running Dask scheduler to use instead, such as tcp://host:8786."""
    slide: str | None = None
    """Embed only the slide of this ID."""
    name: str | None = None
    """Name of the embeddings in the archive; by default the encoder's, and its layer."""
    force: bool = False
    """Embed patches of another resolution or size than the encoder was made for; is recorded."""
    overwrite: bool = False
    """Replace embeddings of the same name that were made otherwise."""


def run(config: EmbedConfig, progress: ProgressCallback) -> Outcome:
    """Embed slide after slide.

    Raises:
        StoreError: there is no archive, or it holds what cannot be embedded.
        ConflictError: it holds other embeddings of this name.
        MismatchError: its patches are not what the encoder was made for.
        EncoderError: there is no such encoder.
        WeightsError: its weights are missing or wrong.
        MissingExtraError: torch or timm is not installed.
    """
    from tiling.store import Archive

    started = time.monotonic()
    archive = Archive.open(config.archive)
    slide_ids = _slide_ids(archive, config.slide)
    grow = config.workers is None and config.scheduler is None
    with starting_client(config.workers or 1, config.scheduler) as client, needs("models"):
        from models.embedding.planning import plan_run
        from models.embedding.run import Means
        from models.embedding.run import run as embed
        from models.embedding.setup import choose_setting, find_workers

        workers = find_workers(client(), _engine(config), grow=grow)
        for note in workers.notes:
            log.warning("%s", note)
        request = _request(config, workers)
        planned = plan_run(archive, slide_ids, request)
        choice = choose_setting(workers, archive, planned, request)
        means = Means(
            workers.client, workers.engine, choice.setting, workers.device, workers.resources
        )
        summary = embed(archive, planned, request, means, lambda now: progress(_update(now)))
    found = (workers, request, planned, choice)
    document = _document(config, found, summary, time.monotonic() - started)
    return Outcome(document, SOME_FAILED if document["slides"]["failed"] else ALL_GOOD)


def _slide_ids(archive: "Archive", only: str | None) -> list[str]:
    known = archive.slide_ids()
    if only is None:
        return known
    if only not in known:
        raise UsageError(f"{archive.location} holds no slide {only!r}; {nearest(only, known)}")
    return [only]


def _engine(config: EmbedConfig) -> "Engine":
    from models.embedding.engine import EncoderSpec, Engine

    spec = EncoderSpec(
        _from_anywhere(config.encoder),
        config.weights and _from_anywhere(config.weights),
        config.layer,
        config.stage_tap,
        config.stage_norm,
        config.input_px,
    )
    batch = None if config.batch == "auto" else config.batch
    return Engine(spec, config.device, batch=batch, decoders=config.decoders)


def _from_anywhere(name: str) -> str:
    """Make a file's path absolute, as workers may start in another folder."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.is_file() else name


def _request(config: EmbedConfig, workers: "Workers") -> "Request":
    from models.embedding.planning import Request

    return Request(
        encoder_id=config.name or workers.card.encoder_id,
        card=workers.card,
        dtype={"float16": "f2", "float32": "f4"}[config.dtype],
        wanted=config.precision,
        force=config.force,
        overwrite=config.overwrite,
    )


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
    config: EmbedConfig, found: "Found", summary: "Summary", seconds: float
) -> dict[str, Any]:
    workers, request, planned, choice = found
    done = [outcome for outcome in summary.outcomes if outcome.state == "done"]
    patches = sum(outcome.patches for outcome in done)
    states = Counter(outcome.state for outcome in summary.outcomes)
    setting = choice.setting.document(workers.device) | {
        "batch": summary.batch,
        "why": choice.why,
        "rates": dict(choice.rates),
    }
    return {
        "archive": config.archive,
        "config": config.model_dump(mode="json"),
        "encoder_id": request.encoder_id,
        "card": request.card.document(),
        "dtype": config.dtype,
        "setting": setting,
        "workers": workers.count,
        "notes": list(workers.notes),
        "forced": sorted({sentence for work in planned.todo for sentence in work.forced}),
        "slides": {name: states[name] for name in ("done", "skipped", "failed")},
        "patches": patches,
        "bytes": sum(outcome.bytes for outcome in done),
        "seconds": round(seconds, 3),
        "setup_seconds": round(max(0.0, seconds - summary.seconds), 3),
        "patches_per_s": round(patches / max(summary.seconds, 1e-9), 1),
        "outcomes": [asdict(outcome) for outcome in summary.outcomes],
    }
