"""What a worker process keeps between slides: the loaded models, set up in one way.

Imports torch in functions only.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.embedding.worker import ONE_AT_A_TIME, cores, device_of
from models.errors import EncoderError, WeightsError
from models.mapping.request import GateSpec, MapEngine, MapRequest

if TYPE_CHECKING:
    import torch

    from models.mapping.forward import MapForward
    from models.segmentation.card import TissueCard
    from models.segmentation.model import TissueModel

MOST_READERS = 8
"""Threads of a GPU that read and decode, at most."""
OTHERS = 3
"""Threads of a GPU's process besides: they launch, collect windows, and write."""


@dataclass
class _Loaded:
    """The models that this process holds, and how they are set up."""

    key: tuple[object, ...] = ()
    segmenter: "TissueModel | None" = None
    classifier: "TissueModel | None" = None
    forward_key: tuple[object, ...] = ()
    forward: "MapForward | None" = None


@dataclass(frozen=True)
class Described:
    """What a worker says of the models and of itself.

    Attributes:
        segmenter, classifier: documents of their cards.
        device: cpu or cuda.
        gpus: GPUs that torch sees there.
    """

    segmenter: dict[str, Any]
    classifier: dict[str, Any] | None
    device: str
    gpus: int


_loaded = _Loaded()


def describe_models(engine: MapEngine) -> Described:
    """Open the models, try windows of the size asked for, and say what they are.

    Raises:
        EncoderError: there is no such device, or the network takes no such windows.
        WeightsError: a model is missing, damaged, or of another role.
        MismatchError: the two know other classes.
    """
    import torch

    with ONE_AT_A_TIME:
        device = device_of(engine.device)
        segmenter, classifier, _ = open_once(engine)
        if classifier is not None:
            segmenter.card.require_classes(
                classifier.card.classes, f"the classifier {engine.classifier}"
            )
        require_window(segmenter, engine.window_px or segmenter.card.patch_px)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    second = None if classifier is None else classifier.card.model_dump(mode="json")
    return Described(segmenter.card.model_dump(mode="json"), second, device.type, gpus)


def require_window(segmenter: "TissueModel", window_px: int) -> None:
    """Refuse windows that the network cannot take, or answers in another size."""
    import torch

    device = next(segmenter.parameters()).device
    pixels = torch.zeros((1, window_px, window_px, 3), dtype=torch.uint8, device=device)
    try:
        with torch.inference_mode():
            shape = tuple(segmenter(segmenter.prepare(pixels)).shape)
    except torch.OutOfMemoryError as err:
        raise EncoderError(
            f"{segmenter.card.name}: not even one window of {window_px} px fits into the GPU's "
            "memory; use --device cpu, or smaller windows: --window-px"
        ) from err
    except (RuntimeError, ValueError) as err:
        raise EncoderError(
            f"{segmenter.card.name} takes no windows of {window_px} px: {err}; give another "
            "--window-px, such as a multiple of 32"
        ) from err
    wanted = (1, len(segmenter.card.classes), window_px, window_px)
    if shape != wanted:
        raise EncoderError(
            f"{segmenter.card.name} gives {shape} for a window, not {wanted}; give another "
            "--window-px, such as a multiple of 32"
        )


def open_once(engine: MapEngine) -> "tuple[TissueModel, TissueModel | None, float]":
    """Give this process's models and the seconds that opening them took now."""
    from models.segmentation.model import open_model

    paths = (engine.segmenter, engine.classifier)
    key = tuple((path, _version(path)) for path in paths)
    if _loaded.segmenter is not None and _loaded.key == key:
        return _loaded.segmenter, _loaded.classifier, 0.0
    started = time.perf_counter()
    _loaded.segmenter = _loaded.classifier = _loaded.forward = None  # the memory of the last ones
    _loaded.forward_key = ()
    segmenter = open_model(Path(engine.segmenter), "segmenter")
    classifier = None
    if engine.classifier is not None:
        classifier = open_model(Path(engine.classifier), "classifier")
    _loaded.segmenter, _loaded.classifier, _loaded.key = segmenter, classifier, key
    return segmenter, classifier, time.perf_counter() - started


def _version(path: str | None) -> tuple[int, ...]:
    """Tell a file from one that takes its place."""
    try:
        status = Path(path or "").stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def forward_of(engine: MapEngine, request: MapRequest) -> "tuple[MapForward, float]":
    """Give this process's models set up for a request, and the seconds that opening them took.

    Raises:
        WeightsError: this worker's files are not those of the run.
    """
    from models.mapping.forward import MapForward

    segmenter, classifier, loading_s = open_once(engine)
    _require_same(segmenter.card, request.card, engine.segmenter)
    if classifier is not None and request.classifier is not None:
        _require_same(classifier.card, request.classifier, str(engine.classifier))
    device = device_of(engine.device)
    asked = (request.gate, request.precision, request.window_px, engine.batch)
    key = (_loaded.key, str(device), *asked)
    if _loaded.forward is None or _loaded.forward_key != key:
        forward = MapForward(
            segmenter,
            classifier,
            _gate(request.gate),
            request.precision,
            device,
            batch=engine.batch,
        )
        if engine.batch is None:
            forward.fit_batch(request.window_px)
        _loaded.forward, _loaded.forward_key = forward, key
    return _loaded.forward, loading_s


def _gate(spec: GateSpec | None) -> Any:
    from models.segmentation.gate import Gate

    return Gate(enabled=False) if spec is None else Gate(on=spec.on, epsilon=spec.epsilon)


def _require_same(found: "TissueCard", wanted: "TissueCard", path: str) -> None:
    if found.weights_sha256 != wanted.weights_sha256:
        raise WeightsError(
            f"{path}: this worker ({os.uname().nodename}) finds other weights than the first one; "
            "give all workers the same file"
        )


def readers_of(engine: MapEngine, device: "torch.device") -> int:
    """Give the number of threads that read and decode."""
    if device.type == "cpu":
        return 1  # one decodes a hundred times faster than a CPU computes
    return min(MOST_READERS, max(1, cores() // engine.processes - OTHERS))


def share_cores(engine: MapEngine) -> None:
    """Let torch take this process's share of the cores, in the thread that asks."""
    import torch

    torch.set_num_threads(max(1, cores() // engine.processes))
