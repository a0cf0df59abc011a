"""A finished MIL run, read again to be asked about other bags."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from models.errors import BagError
from models.mil.cohort import Labels, MilBag
from models.mil.crossval import predict_bags
from models.mil.device import choose_device
from models.mil.model import MilModel
from models.mil.predict import Prediction
from models.mil.source import BagSource
from workflows.extras import needs
from workflows.mil.bags import Bags, read_bags
from workflows.mil.folder import FOLDS, RunFolder, read_folds


@dataclass(frozen=True)
class Trained:
    """The models of a run.

    Attributes:
        folder: of the run.
        record: what `mil train` said of it.
        models: one per fold, on `device`.
    """

    folder: RunFolder
    record: dict[str, Any]
    models: list[MilModel]
    device: torch.device

    @classmethod
    def load(cls, place: str, device: str) -> "Trained":
        """Read a run.

        Raises:
            UsageError: there is no finished run.
            WeightsError: a model is missing or damaged.
            ModelError: there is no such device.
        """
        folder, chosen = RunFolder(place), choose_device(device)
        record = folder.record()
        with needs("models"):  # torchmil, for some
            models = [model.to(chosen) for model in folder.models(len(record["folds"]))]
        return cls(folder, record, models, chosen)

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return list(self.record["classes"])

    def bags(self, archives: Sequence[str], label: str | None, labels: Labels | None) -> Bags:
        """Read the bags of other archives, made as the run's own were.

        Raises:
            BagError: their embeddings are of another encoder than the run's.
            LabelsError: a label is none of the run's classes.
        """
        record = self.record
        found = read_bags(
            archives,
            record["encoder"],
            label or record["label"],
            labels,
            unit=record["unit"],
            classes=self.classes,
        )
        if found.encoder != record["encoder_identity"]:
            raise BagError(
                f"the embeddings {record['encoder']!r} of {', '.join(archives)} are of another "
                "encoder than those of the run (other weights, layer or input); embed with the same"
            )
        return found

    def predict(self, bags: Sequence[MilBag]) -> Iterator[Prediction]:
        """Ask the models of all folds about bags with patches; every bag is read once."""
        return predict_bags(self.models, bags, BagSource(keep_bytes=0), self.device)

    def seen(self, bags: Sequence[MilBag]) -> list[str]:
        """Give the names of bags whose patients or slides the models have learned from."""
        patients = set(read_folds(str(self.folder.path / FOLDS))[0])
        slides = set(self.record["slides"])
        return [
            bag.name
            for bag in bags
            if bag.patient in patients or any(row.slide_id in slides for row in bag.slides)
        ]
