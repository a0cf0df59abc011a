"""What a run finds before it begins: its workers, their device, the encoder, the setting."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from models.embedding.engine import Engine
from models.embedding.planning import Planned, Request
from models.embedding.setting import REPRODUCIBLE, Choice, Setting
from models.embedding.tasks import calibrate, describe
from models.encoders.card import EncoderCard
from models.errors import ModelError
from tiling.store import Archive

if TYPE_CHECKING:
    from distributed import Client

GPU = "GPU"
"""Worker resource of a cluster's GPU workers: `dask worker … --resources "GPU=1" --nthreads 1`."""


@dataclass(frozen=True)
class Workers:
    """The workers of a run.

    Attributes:
        client: of their scheduler.
        engine: how they run.
        card: of the encoder, as the first of them opened it.
        device: that it runs on: cpu or cuda.
        resources: that a task takes of a worker.
        count: how many take part.
        notes: what a person should know.
    """

    client: "Client"
    engine: Engine
    card: EncoderCard
    device: str
    resources: Mapping[str, float]
    count: int
    notes: tuple[str, ...] = ()


def find_workers(client: "Client", engine: Engine, *, grow: bool) -> Workers:
    """Look at a cluster, and let one worker open the encoder.

    Args:
        client: of the scheduler.
        engine: what was asked for; the number of processes per machine is filled in.
        grow: start a worker per GPU of this machine, as the cluster is ours.

    Raises:
        EncoderError: there is no such encoder, layer or device.
        WeightsError: its weights are missing or wrong.
        ModelError: a worker died of it.
    """
    gathered, found = gather_workers(client, engine, describe, grow=grow)
    card = EncoderCard.model_validate(found.card)
    return Workers(client, card=card, device=found.device, **gathered)


def gather_workers(
    client: "Client", engine: Any, describe: Callable[[Any], Any], *, grow: bool
) -> tuple[dict[str, Any], Any]:
    """Look at a cluster, and let one worker describe what it will compute with.

    Args:
        client: of the scheduler.
        engine: a frozen dataclass with `device` and `processes`; the latter is filled in.
        describe: task that gives something with `device` and `gpus`.
        grow: start a worker per GPU of this machine, as the cluster is ours.

    Returns:
        By name the `engine`, `resources` of a task, `count` of workers and `notes`; and what the
        worker said.

    Raises:
        ModelError: a worker died of it.
    """
    known = client.scheduler_info(n_workers=-1)["workers"].values()
    with_gpu = [worker for worker in known if worker["resources"].get(GPU)]
    resources = {GPU: 1.0} if with_gpu and engine.device != "cpu" else {}
    hosts = Counter(worker["host"] for worker in (with_gpu if resources else known))
    engine = replace(engine, processes=max(hosts.values()))
    found = ask(client, resources, describe, engine)
    count = hosts.total()
    if grow and client.cluster is not None and found.device == "cuda" and found.gpus > 1:
        client.cluster.scale(found.gpus)
        client.wait_for_workers(found.gpus)
        engine, count = replace(engine, processes=found.gpus), found.gpus
    notes = _notes(resources, found.device)
    return {"engine": engine, "resources": resources, "count": count, "notes": notes}, found


def choose_setting(
    workers: Workers, archive: Archive, planned: Planned, request: Request
) -> Choice:
    """Choose a run's setting once: as recorded, as asked for, or as measured by one worker."""
    if planned.recorded is not None:
        return Choice(planned.recorded, "that of the slides which have these embeddings", {})
    if request.wanted == "float32":
        return Choice(REPRODUCIBLE, "float32 was asked for: fixed, so that results repeat", {})
    largest = max(planned.todo, key=lambda work: work.count, default=None)
    if largest is None or not largest.count:
        usual = Setting("bf16") if request.wanted == "bf16" else REPRODUCIBLE
        return Choice(usual, "there is nothing to embed", {})
    share = -(-sum(work.count for work in planned.todo) // workers.count)
    choice: Choice = ask(
        workers.client,
        workers.resources,
        calibrate,
        workers.engine,
        archive.storage,
        largest.slide_id,
        share,
        request.wanted,
    )
    return choice


def ask(
    client: "Client", resources: Mapping[str, float], task: Callable[..., Any], *arguments: Any
) -> Any:
    """Let one worker do a task and wait for it.

    Raises:
        ModelError: workers die of it.
    """
    from distributed.scheduler import KilledWorker

    future = client.submit(task, *arguments, pure=False, resources=dict(resources) or None)
    try:
        return future.result()
    except KilledWorker as err:
        raise ModelError(
            "workers died while they opened the encoder, probably for want of memory"
        ) from err


def _notes(resources: Mapping[str, float], device: str) -> tuple[str, ...]:
    if resources and device == "cpu":
        return (
            "workers advertise the resource GPU, but torch finds no CUDA device there: "
            "they compute on the CPU",
        )
    return ()
