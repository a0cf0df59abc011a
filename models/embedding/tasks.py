"""What workers do: describe an encoder, choose its setting, embed one shard of rows.

The coordinator imports this module, too, so that torch is imported by the tasks only.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.embedding.engine import Engine
from models.embedding.setting import Choice, Setting, Wanted
from models.embedding.worker import (
    ONE_AT_A_TIME,
    decoders_of,
    device_of,
    forget_forward,
    forward_of,
    open_once,
    share_cores,
)
from models.errors import NumericsError, WeightsError
from tiling.embeddings import EmbeddingPlan, put_shard
from tiling.storage import Storage
from tiling.store import PatchStore

if TYPE_CHECKING:
    from models.encoders.encoder import Encoder

TELL_S = 0.5
"""Pause between two messages about progress."""


@dataclass(frozen=True)
class Described:
    """What a worker says of the encoder and of itself.

    Attributes:
        card: document of the encoder's card.
        device: cpu or cuda.
        gpus: GPUs that torch sees there.
    """

    card: dict[str, Any]
    device: str
    gpus: int


@dataclass(frozen=True)
class RowsTask:
    """One shard of one slide's rows.

    Attributes:
        storage: where the archive lies.
        slide_id: whose patches are read.
        prefix: where the array is prepared.
        plan: layout of the rows; `number` says which shard.
        identity: of the encoder's card: a worker with other weights refuses.
        setting: how the network is run.
        topic: of messages about progress.
    """

    storage: Storage
    slide_id: str
    prefix: str
    plan: EmbeddingPlan
    number: int
    identity: str
    setting: Setting
    topic: str


@dataclass(frozen=True)
class RowsResult:
    """What came of a shard.

    Attributes:
        number: which.
        checksums: of what was written.
        seconds: for reading, computing and writing.
        loading_s: for opening the encoder; 0 where the process had it already.
        batch: patches at a time, at the end.
        process: host and number of the process.
    """

    number: int
    checksums: dict[str, list[int]]
    seconds: float
    loading_s: float
    batch: int
    process: str


def describe(engine: Engine) -> Described:
    """Open the encoder and say what it is.

    Raises:
        EncoderError: there is no such encoder, layer or device.
        WeightsError: its weights are missing or wrong.
    """
    import torch

    with ONE_AT_A_TIME:
        device = device_of(engine.device)
        encoder, _ = open_once(engine)
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return Described(encoder.card.document(), device.type, gpus)


def calibrate(
    engine: Engine, storage: Storage, slide_id: str, patches: int, wanted: Wanted
) -> Choice:
    """Measure settings on the first patches of a slide, and choose.

    Args:
        engine: how this worker runs.
        storage: where the archive lies.
        slide_id: of a slide that has patches.
        patches: that one worker has to embed.
        wanted: number format that was asked for.
    """
    from models.embedding.calibrate import Job, choose
    from models.embedding.forward import CPU_BATCH, GPU_FIRST
    from models.embedding.reading import BatchSource

    with ONE_AT_A_TIME:
        device = device_of(engine.device)
        share_cores(engine)
        encoder, _ = open_once(engine)
        size = engine.batch or (GPU_FIRST if device.type == "cuda" else CPU_BATCH)
        store = PatchStore(storage, slide_id)
        source = BatchSource(store)
        sample = next(source.batches(range(min(size, len(store))), size))
        source.close()
        forget_forward()  # settings change the network in place
        return choose(encoder, device, Job(patches, wanted, sample))


def embed_rows(engine: Engine, task: RowsTask) -> RowsResult:
    """Embed one shard's patches and write the rows.

    Raises:
        NumericsError: the encoder gave NaN or infinity, or what the stored type cannot hold.
        WeightsError: this worker's weights are not those of the run.
        StoreError: the archive cannot be read or written.
        CorruptStoreError: a patch is not what was written.
    """
    with ONE_AT_A_TIME:
        started = time.perf_counter()
        share_cores(engine)
        encoder, loading_s = open_once(engine)
        if encoder.card.identity != task.identity:
            raise WeightsError(
                f"{engine.spec.name}: this worker ({os.uname().nodename}) finds other weights than "
                "the first one; give all workers the same file"
            )
        rows, batch = _rows(engine, encoder, task)
        checksums = put_shard(task.storage, task.prefix, task.plan, task.number, rows)
        seconds = time.perf_counter() - started - loading_s
        process = f"{os.uname().nodename}:{os.getpid()}"
        return RowsResult(task.number, checksums, seconds, loading_s, batch, process)


def _rows(engine: Engine, encoder: "Encoder", task: RowsTask) -> tuple[NDArray[Any], int]:
    from models.embedding.reading import BatchSource

    store = PatchStore(task.storage, task.slide_id)
    device = device_of(engine.device)
    source = BatchSource(store, threads=decoders_of(engine, device), pinned=device.type == "cuda")
    forward = forward_of(engine, encoder, task.setting, device, source.patch_shape)
    numbers = task.plan.rows(task.number)
    found = np.empty((len(numbers), task.plan.dim), np.float32)
    stored = np.empty(found.shape, task.plan.dtype)
    tell = _Teller(task.topic, task.slide_id)

    def keep(start: int, stop: int) -> None:
        with np.errstate(over="ignore"):
            stored[start:stop] = found[start:stop]
        _require_finite(task, numbers.start + start, found[start:stop], stored[start:stop])
        tell(stop)

    try:
        forward.embed(source.batches(numbers, forward.batch), found, keep)
    finally:
        source.close()
    return stored, forward.batch


def _require_finite(
    task: RowsTask, first: int, found: NDArray[np.float32], stored: NDArray[Any]
) -> None:
    good = np.isfinite(stored).all(axis=1)
    if good.all():
        return
    row = int(np.argmin(good))
    where = f"{task.slide_id}: patch {first + row}"
    if np.isfinite(found[row]).all():
        raise NumericsError(
            f"{where}: {np.abs(found[row]).max():.4g} is too large for float16; use --dtype float32"
        )
    advice = "" if task.setting.precision == "float32" else "; try --precision float32"
    raise NumericsError(f"{where}: the encoder gave NaN or infinity{advice}")


class _Teller:
    """Tells the coordinator how many rows of a shard are done, now and then."""

    def __init__(self, topic: str, slide_id: str) -> None:
        self._last = time.monotonic()
        self._told = 0
        self._slide_id = slide_id
        self._send = sender(topic)

    def __call__(self, rows: int) -> None:
        if time.monotonic() - self._last >= TELL_S:
            self._send({"slide_id": self._slide_id, "rows": rows - self._told})
            self._last, self._told = time.monotonic(), rows


def sender(topic: str) -> Callable[[dict[str, Any]], None]:
    """Give what sends a worker's messages to the coordinator; nothing where there is no worker."""
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return lambda _: None
    return lambda message: worker.log_event(topic, message)
