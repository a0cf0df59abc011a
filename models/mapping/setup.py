"""What a run finds before it begins: its workers, their device, the models. Knows no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.embedding.setup import gather_workers
from models.mapping.request import MapEngine
from models.mapping.worker import describe_models
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
    gathered, found = gather_workers(client, engine, describe_models, grow=grow)
    card = TissueCard.model_validate(found.segmenter)
    second = None if found.classifier is None else TissueCard.model_validate(found.classifier)
    return MapWorkers(client, card=card, classifier=second, device=found.device, **gathered)
