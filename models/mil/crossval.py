"""Cross-validation: one model per fold, and what it says of the bags that it has not seen."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from models.errors import LabelsError
from models.mil.cohort import MilBag
from models.mil.fit import Epoch, Fit, Task, fit
from models.mil.folds import Folds, Part
from models.mil.judge import Predictions
from models.mil.model import MilModel
from models.mil.predict import Prediction, predict
from models.mil.recipes import Recipe, build_model
from models.mil.source import BagSource


@dataclass(frozen=True)
class Setup:
    """What all folds share.

    Attributes:
        recipe: the model and how it is trained.
        dim: length of an embedding.
        classes: C.
        source: reads the bags.
        seed: of the run.
        device: where the models are trained.
    """

    recipe: Recipe
    dim: int
    classes: int
    source: BagSource
    seed: int
    device: torch.device


@dataclass(frozen=True)
class FoldResult:
    """One fold.

    Attributes:
        number: from 0.
        sizes: bags per part.
        fit: the training.
        bags: the test bags.
        predictions: of each test bag.
    """

    number: int
    sizes: Mapping[Part, int]
    fit: Fit
    bags: Sequence[MilBag]
    predictions: Sequence[Prediction]


def cross_validate(
    bags: Sequence[MilBag],
    folds: Folds,
    setup: Setup,
    on_epoch: Callable[[int, Epoch], None] = lambda fold, epoch: None,
) -> Iterator[FoldResult]:
    """Train and test fold after fold.

    Args:
        bags: with labels and patches; every patient is in every fold.
        folds: parts of the patients.
        setup: shared by all folds.
        on_epoch: called after each epoch with the fold's number.

    Raises:
        LabelsError: a part of a fold has no bag, or its training bags lack a class.
        NumericsError: a loss or an embedding is NaN or infinite.
    """
    for number, parts in enumerate(folds):
        yield _fold(number, _split(bags, parts, number), setup, on_epoch)


def _split(
    bags: Sequence[MilBag], parts: Mapping[str, Part], number: int
) -> dict[Part, list[MilBag]]:
    split: dict[Part, list[MilBag]] = {"train": [], "validation": [], "test": []}
    for bag in bags:
        if bag.patient not in parts:
            raise LabelsError(f"patient {bag.patient} is in no part of fold {number}")
        split[parts[bag.patient]].append(bag)
    for part, members in split.items():
        if not members:
            raise LabelsError(f"fold {number} has no bag in its part {part!r}; use fewer folds")
    return split


def _fold(
    number: int,
    split: Mapping[Part, Sequence[MilBag]],
    setup: Setup,
    on_epoch: Callable[[int, Epoch], None],
) -> FoldResult:
    seed = int(np.random.SeedSequence([setup.seed, number]).generate_state(1)[0])
    model = build_model(setup.recipe.model, setup.dim, setup.classes, seed)
    task = Task(
        split["train"], split["validation"], setup.classes, setup.source, seed, setup.device
    )
    found = fit(model, task, setup.recipe.fit, lambda epoch: on_epoch(number, epoch))
    predictions = predict_bags([model], split["test"], setup.source, setup.device)
    sizes = {part: len(members) for part, members in split.items()}
    return FoldResult(number, sizes, found, split["test"], list(predictions))


def predict_bags(
    models: Sequence[MilModel], bags: Sequence[MilBag], source: BagSource, device: torch.device
) -> Iterator[Prediction]:
    """Ask models on `device` about bags, one after the other."""
    return (predict(models, source.tensor(bag), device) for bag in bags)


def gather(bags: Sequence[MilBag], probabilities: Sequence[np.ndarray]) -> Predictions:
    """Put predictions of bags, (C,) each, into one table in the order of their names."""
    order = sorted(range(len(bags)), key=lambda i: bags[i].name)
    return Predictions(
        tuple(bags[i].name for i in order),
        tuple(bags[i].patient for i in order),
        np.array([bags[i].label for i in order], np.int64),
        np.stack([probabilities[i] for i in order]),
    )
