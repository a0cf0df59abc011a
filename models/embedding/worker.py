"""What a worker process keeps between tasks: one loaded encoder, set up in one way.

It does one task at a time, however many threads Dask gives it. Imports torch in functions only.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from models.embedding.engine import Device, Engine
from models.embedding.setting import Setting
from models.errors import EncoderError

if TYPE_CHECKING:
    import torch

    from models.embedding.forward import Forward
    from models.encoders.encoder import Encoder

MOST_DECODERS = 8
"""Decoder threads of a GPU by default; a core decodes about 2,000 patches/s of 256 px."""


@dataclass
class _Loaded:
    """The one encoder that this process holds, and how it is set up."""

    key: tuple[object, ...] = ()
    encoder: "Encoder | None" = None
    forward_key: tuple[object, ...] = ()
    forward: "Forward | None" = None


_loaded = _Loaded()
ONE_AT_A_TIME = Lock()


def open_once(engine: Engine) -> tuple["Encoder", float]:
    """Give this process's encoder and the seconds that opening it took now."""
    from models.encoders import open_encoder

    spec = engine.spec
    key = (spec, _version(spec.weights))
    if _loaded.encoder is not None and _loaded.key == key:
        return _loaded.encoder, 0.0
    started = time.perf_counter()
    _loaded.encoder = _loaded.forward = None  # the memory of the last one
    _loaded.forward_key = ()
    encoder = open_encoder(
        spec.name,
        spec.weights,
        spec.layer,
        stage_tap=spec.stage_tap,
        stage_norm=spec.stage_norm,
        input_px=spec.input_px,
    )
    _loaded.encoder, _loaded.key = encoder.eval(), key
    return encoder, time.perf_counter() - started


def _version(weights: str | None) -> tuple[int, ...]:
    """Tell a file of weights from one that takes its place."""
    try:
        status = Path(weights or "").stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def forward_of(
    engine: Engine,
    encoder: "Encoder",
    setting: Setting,
    device: "torch.device",
    patch_shape: tuple[int, ...],
) -> "Forward":
    """Give this process's encoder set up in one way, for patches `(P, P, 3)`."""
    from models.embedding.forward import Forward

    key = (_loaded.key, setting, str(device), engine.batch, patch_shape)
    if _loaded.forward is None or _loaded.forward_key != key:
        forward = Forward(encoder, setting, device, engine.batch)
        if engine.batch is None:
            forward.fit_batch(patch_shape)
        _loaded.forward, _loaded.forward_key = forward, key
    return _loaded.forward


def device_of(wanted: Device) -> "torch.device":
    """Choose this worker's device; workers of one machine take its GPUs in turn."""
    import torch

    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise EncoderError(
            f"--device cuda: torch {torch.__version__} finds no GPU on {os.uname().nodename}; "
            "use --device auto or cpu"
        )
    if wanted == "cpu" or not there:
        return torch.device("cpu")
    return torch.device("cuda", _worker_number() % torch.cuda.device_count())


def _worker_number() -> int:
    """Number that a cluster on one machine gives its workers; 0 elsewhere."""
    from distributed import get_worker

    try:
        name = str(get_worker().name)
    except ValueError:  # no worker: the task was called as a function
        return 0
    return int(name) if name.isdecimal() else 0


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_cores(engine: Engine) -> None:
    """Let torch take this process's share of the cores, in the thread that asks."""
    import torch

    # Dask asks for one thread in each process; and the number belongs to the thread of the task
    torch.set_num_threads(max(1, cores() // engine.processes))


def decoders_of(engine: Engine, device: "torch.device") -> int:
    """Give the number of threads that read and decode."""
    if engine.decoders is not None:
        return engine.decoders
    if device.type == "cpu":
        return 1  # one decodes a hundred times faster than a CPU embeds
    return min(MOST_DECODERS, max(1, cores() // engine.processes - 1))


def forget_forward() -> None:
    """Forget how the encoder was set up; settings change it in place."""
    _loaded.forward, _loaded.forward_key = None, ()
