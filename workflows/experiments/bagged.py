"""MIL as the judge of an encoder: bags of the manifest's two splits, embeddings in memory."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.bags.patches import Patches
from models.embedding.reading import BatchSource
from models.encoders import EncoderCard
from models.errors import LabelsError
from models.mil.cohort import MilBag, SlideRow, choose_unit, class_names, group, slide_row
from models.mil.crossval import FoldResult, Setup, cross_validate, gather
from models.mil.folds import Part, patient_labels
from models.mil.recipes import RECIPES
from models.mil.source import BagSource
from tiling.store import Archive
from tiling.subset import fraction
from workflows.experiments.data_config import DataEfficiencyConfig, Downstream
from workflows.experiments.embedding import Embedder
from workflows.experiments.loop import Tell
from workflows.experiments.memory import NO_CARD, MemoryBag
from workflows.experiments.pooling import Prediction, Truth
from workflows.mil.labels import read_labels

SIDES = ("train", "test")

VALIDATION = 0.25
"""Share of the training patients that decide on stopping, as in `microtome mil train`."""


class BagJudge:
    """A model of bags that learns on the patients of one split and is tested on another's.

    Differs from `mil train`: one division into training, validation and test patients instead of
    folds, so that pretraining has seen no patch of a test patient.

    Args:
        config: of the experiment.
        device: where the model of bags is trained.

    Raises:
        LabelsError: there are fewer than two classes, or a patient is on both sides.
    """

    def __init__(self, config: DataEfficiencyConfig, device: Any) -> None:
        self._config, self._device = config, device
        archive = Archive.open(config.archive)
        self._split = {
            store.slide_id: str(store.attributes["labels"].get("split") or "")
            for store in archive.stores()
        }
        wanted = (config.train_split, config.test_split)
        self._stores = [s for s in archive.stores() if self._split[s.slide_id] in wanted]
        self._labels = None if config.labels is None else read_labels(config.labels, config.label)
        rows = self._rows({store.slide_id: np.zeros((len(store), 1)) for store in self._stores})
        self._classes, self._unit = class_names(rows), choose_unit(rows)
        self._known = self._group(rows)
        self._require_apart(rows)

    @property
    def truths(self) -> Mapping[Downstream, Truth]:
        """Class and patient of the test bags, in the order of their names."""
        bags = sorted((bag for bag in self._known if self._tests(bag)), key=lambda bag: bag.name)
        labels = np.array([bag.label for bag in bags], np.int64)
        return {"mil": Truth(labels, np.array([bag.patient for bag in bags]))}

    @property
    def patches(self) -> int:
        """Patches of both sides."""
        return sum(len(store) for store in self._stores)

    @property
    def fingerprint(self) -> str:
        """Hash of the bags, their classes and their sides."""
        told = [(bag.name, bag.patient, bag.label, self._tests(bag)) for bag in self._known]
        return hashlib.sha256(repr((self._classes, sorted(told))).encode()).hexdigest()

    def predict(self, embedder: Embedder, seed: int, tell: Tell) -> Mapping[Downstream, Prediction]:
        """Embed every slide, train the model of bags, and ask it about the test bags.

        Raises:
            LabelsError: a part has no bag, or the training bags lack a class.
            NumericsError: a loss is NaN.
        """
        batches = self._batches(embedder.batch)
        values = embedder.embed(batches, self.patches, tell)
        ends = np.cumsum([len(store) for store in self._stores])[:-1]
        parts = np.split(values, ends)
        slides = {s.slide_id: rows for s, rows in zip(self._stores, parts, strict=True)}
        bags = self._group(self._rows(slides, embedder.encoder.card))
        (result,) = cross_validate(bags, (self.parts(seed),), self._setup(values.shape[1], seed))
        return {"mil": self._prediction(result)}

    def parts(self, seed: int) -> dict[str, Part]:
        """Say which patients train, decide on stopping, and test."""
        learners = [bag for bag in self._known if not self._tests(bag)]
        label = patient_labels((bag.patient, bag.label) for bag in learners)
        names = list(label)
        classes = np.array([label[name] for name in names])
        taken = fraction(
            np.arange(len(names)), 1 - VALIDATION, seed=seed, unit="patch", labels=classes
        )
        found: dict[str, Part] = dict.fromkeys(names, "validation")
        found |= {names[number]: "train" for number in taken}
        return found | {bag.patient: "test" for bag in self._known if self._tests(bag)}

    def about(self) -> dict[str, Any]:
        """Say who teaches and who tests."""
        labels = self.truths["mil"].labels
        return {
            "archive": self._config.archive,
            "name": Path(self._config.archive.rstrip("/")).name,
            "config": self._config.model_dump(mode="json"),
            "unit": self._unit,
            "split": {side: self._counted(side) for side in SIDES},
            "leaky": [],
            "classes": [
                {"name": name} | {side: self._counted(side, number) for side in SIDES}
                for number, name in enumerate(self._classes)
            ],
            "most_frequent": {"balanced_accuracy": 1 / len(np.unique(labels))},
        }

    def _counted(self, side: str, label: int | None = None) -> dict[str, int]:
        bags = [bag for bag in self._known if self._tests(bag) == (side == "test")]
        bags = [bag for bag in bags if label in (None, bag.label)]
        return {
            "patches": sum(len(bag) for bag in bags),
            "slides": sum(len(bag.slides) for bag in bags),
            "patients": len({bag.patient for bag in bags}),
        }

    def _tests(self, bag: MilBag) -> bool:
        return self._split[bag.slides[0].slide_id] == self._config.test_split

    def _require_apart(self, rows: Sequence[SlideRow]) -> None:
        splits: dict[str, set[str]] = {}
        for row in rows:
            splits.setdefault(row.patient, set()).add(self._split[row.slide_id])
        both = sorted(patient for patient, found in splits.items() if len(found) > 1)
        if both:
            raise LabelsError(
                f"patient {both[0]} has slides in {self._config.train_split} and in "
                f"{self._config.test_split}; MIL needs a split by patient"
            )
        if not any(self._tests(bag) for bag in self._known):
            raise LabelsError(f"no bag of the split {self._config.test_split!r} has a label")

    def _rows(
        self, values: Mapping[str, NDArray[Any]], card: EncoderCard | None = None
    ) -> list[SlideRow]:
        known = card or NO_CARD
        bags = []
        for store in self._stores:
            kept = Patches(store).rows
            bags.append(MemoryBag(store, values[store.slide_id][kept], known))
        return [
            slide_row(bag, self._config.archive, self._config.label, self._labels) for bag in bags
        ]

    def _group(self, rows: list[SlideRow]) -> list[MilBag]:
        """Bags with a label and a patch."""
        bags = group(rows, self._unit, self._classes)
        return [bag for bag in bags if len(bag) and bag.label >= 0]

    def _batches(self, size: int) -> Iterator[Tensor]:
        for store in self._stores:
            source = BatchSource(store)
            yield from source.batches(range(len(store)), size)
            source.close()

    def _setup(self, dim: int, seed: int) -> Setup:
        recipe = RECIPES[self._config.mil_model].changed({}, {"epochs": self._config.mil_epochs})
        return Setup(recipe, dim, len(self._classes), BagSource(), seed, self._device)

    def _prediction(self, result: FoldResult) -> Prediction:
        found = gather(result.bags, [one.probabilities for one in result.predictions])
        return Prediction(np.asarray(found.probabilities, np.float64))
