"""What a run finds before it begins: its workers, their device, the models. Knows no torch."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from models.embedding.setup import GPU, ask
from models.mapping.request import MapEngine
from models.mapping.worker import Described, describe_models
from models.segmentation.card import TissueCard

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class MapWorkers:
    """The workers of a run.

    Attributes:
        client: of their scheduler.
        engine: how they run.
        card: of the segmenter, as the first of them opened it.
        classifier: card of the gate's; None where there is none.
        device: that it runs on: cpu or cuda.
        resources: that a task takes of a worker.
        count: how many take part.
        notes: what a person should know.
    """

    client: "Client"
    engine: MapEngine
    card: TissueCard
    classifier: TissueCard | None
    device: str
    resources: Mapping[str, float]
    count: int
    notes: tuple[str, ...] = ()


def find_map_workers(client: "Client", engine: MapEngine, *, grow: bool) -> MapWorkers:
    """Look at a cluster, and let one worker open the models.

    Args:
        client: of the scheduler.
        engine: what was asked for; the number of processes per machine is filled in.
        grow: start a worker per GPU of this machine, as the cluster is ours.

    Raises:
        EncoderError: there is no such device, or the network takes no such windows.
        WeightsError: a model is missing, damaged or of another role.
        MismatchError: the models know other classes.
        ModelError: a worker died of it.
    """
    known = client.scheduler_info(n_workers=-1)["workers"].values()
    with_gpu = [worker for worker in known if worker["resources"].get(GPU)]
    resources = {GPU: 1.0} if with_gpu and engine.device != "cpu" else {}
    hosts = Counter(worker["host"] for worker in (with_gpu if resources else known))
    engine = replace(engine, processes=max(hosts.values()))
    found: Described = ask(client, resources, describe_models, engine)
    count = hosts.total()
    if grow and client.cluster is not None and found.device == "cuda" and found.gpus > 1:
        client.cluster.scale(found.gpus)
        client.wait_for_workers(found.gpus)
        engine, count = replace(engine, processes=found.gpus), found.gpus
    notes: tuple[str, ...] = ()
    if resources and found.device == "cpu":
        notes = (
            "workers advertise the resource GPU, but torch finds no CUDA device there: "
            "they compute on the CPU",
        )
    card = TissueCard.model_validate(found.segmenter)
    classifier = found.classifier and TissueCard.model_validate(found.classifier)
    return MapWorkers(
        client, engine, card, classifier or None, found.device, resources, count, notes
    )
