"""Training finds what is there, finds nothing where nothing is, and can be repeated."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.errors import LabelsError, ModelError, NumericsError
from models.mil.cohort import MilBag, class_names, group, read_slides
from models.mil.crossval import FoldResult, Setup, cross_validate, gather
from models.mil.device import choose_device
from models.mil.fit import Fit, Task, fit, pad
from models.mil.folds import make_folds, patient_labels
from models.mil.judge import Predictions, score_over_patients
from models.mil.recipes import RECIPES, Recipe, build_model
from models.mil.settings import ModelName
from models.mil.source import BagSource, pieces
from tests.models.mil.cohorts import (
    ENCODER,
    Planted,
    planted_cohort,
    write_cohort,
    write_slide,
)

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"hidden_dim": 16, "attention_dim": 8}


def read(archive: Path) -> list[MilBag]:
    rows = read_slides([str(archive)], ENCODER)
    return group(rows, "patient", class_names(rows))


def recipe(name: ModelName, **fit_changes: Any) -> Recipe:
    quick = {"lr": 5e-3, "epochs": 12, "min_epochs": 0, "batch": 1}
    return RECIPES[name].changed(SMALL, quick | fit_changes)


def run(bags: list[MilBag], chosen: Recipe, seed: int = 1, folds: int = 3) -> list[FoldResult]:
    dim, classes = bags[0].slides[0].bag.dim, 1 + max(bag.label for bag in bags)
    parts = make_folds(patient_labels((b.patient, b.label) for b in bags), folds, seed=seed)
    setup = Setup(chosen, dim, classes, BagSource(), seed, CPU)
    return list(cross_validate(bags, parts, setup))


def pool(results: list[FoldResult]) -> Predictions:
    bags = [bag for result in results for bag in result.bags]
    chances = [p.probabilities for result in results for p in result.predictions]
    return gather(bags, chances)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> list[MilBag]:
    archive = tmp_path_factory.mktemp("mil") / "planted.zarr"
    return read(write_cohort(archive, planted_cohort(patients=24, patches=(8, 16), share=0.3)))


@pytest.mark.parametrize("name", RECIPES)
def test_a_planted_signal_is_found(planted: list[MilBag], name: ModelName) -> None:
    # few validation bags make AUROC a coarse guide; a transformer learns at a lower rate
    changes = {"lr": 1e-3, "monitor": "loss"} if name == "stamp-transformer" else {}
    found = pool(run(planted, recipe(name, **changes)))
    area = score_over_patients(found, seed=0, resamples=50)["auroc"][1]
    assert area is not None
    assert area.value > 0.95


def test_shuffled_labels_teach_nothing(tmp_path: Path) -> None:
    slides = planted_cohort(patients=40, patches=(8, 16), shuffled=True)
    bags = read(write_cohort(tmp_path / "a.zarr", slides))
    found = pool(run(bags, recipe("abmil")))
    area = score_over_patients(found, seed=0)["auroc"][1]
    assert area is not None
    assert area.low is not None
    assert area.high is not None
    assert area.low <= 0.5 <= area.high


def test_attention_is_on_the_patches_that_carry_the_signal(planted: list[MilBag]) -> None:
    result = run(planted, recipe("abmil"))[0]
    source = BagSource()
    for bag, prediction in zip(result.bags, result.predictions, strict=True):
        if bag.label == 1:
            carrying = source.rows(bag)[:, 0] > 4
            seen = prediction.attention[0]
            assert seen[carrying].mean() > 2 * seen[~carrying].mean()


def test_three_classes_are_told_apart(tmp_path: Path) -> None:
    slides = planted_cohort(patients=27, classes=("a", "b", "c"), share=0.4, patches=(10, 20))
    found = pool(run(read(write_cohort(tmp_path / "a.zarr", slides)), recipe("clam-mb")))
    areas = score_over_patients(found, seed=0, resamples=20)["auroc"]
    assert len(areas) == 3
    assert all(area is not None and area.value > 0.95 for area in areas)


@pytest.mark.parametrize("name", ["abmil", "stamp-transformer"])
def test_equal_seeds_give_equal_weights_bit_for_bit(planted: list[MilBag], name: ModelName) -> None:
    chosen = recipe(name, epochs=3, max_patches=5, batch=4)
    chosen = replace(chosen, model=replace(chosen.model, dropout=0.25))
    one, other, third = (run(planted, chosen, seed=s) for s in (4, 4, 5))
    assert _bytes(one) == _bytes(other)
    assert _bytes(one) != _bytes(third)


def _bytes(results: list[FoldResult]) -> list[bytes]:
    return [value.numpy().tobytes() for r in results for value in r.fit.state.values()]


def _fit(bags: list[MilBag], chosen: Recipe, train: slice, validation: slice) -> Fit:
    task = Task(bags[train], bags[validation], 2, BagSource(), 0, CPU)
    return fit(build_model(chosen.model, 8, 2, 0), task, chosen.fit)


def test_the_best_epoch_is_kept_and_patience_ends_training(planted: list[MilBag]) -> None:
    # a learning rate that soon makes the validation loss worse
    chosen = recipe("abmil", lr=0.1, epochs=40, patience=3)
    found = _fit(planted, chosen, slice(0, 6), slice(6, 12))
    losses = [epoch.validation_loss for epoch in found.history]
    assert found.best_epoch == int(np.argmin(losses))
    assert len(losses) == found.best_epoch + 1 + 3


def test_training_does_not_stop_before_the_least_epochs(planted: list[MilBag]) -> None:
    chosen = recipe("abmil", lr=0.1, epochs=40, patience=1, min_epochs=25)
    assert len(_fit(planted, chosen, slice(0, 6), slice(6, 12)).history) >= 25


def test_the_kept_weights_are_those_of_the_best_epoch(planted: list[MilBag]) -> None:
    chosen = recipe("abmil", lr=0.1, epochs=6)
    found = _fit(planted, chosen, slice(0, 6), slice(6, 12))
    stopped = replace(chosen, fit=replace(chosen.fit, epochs=found.best_epoch + 1))
    again = _fit(planted, stopped, slice(0, 6), slice(6, 12))
    assert all(torch.equal(found.state[key], again.state[key]) for key in found.state)


def test_auroc_cannot_be_watched_on_one_class(planted: list[MilBag]) -> None:
    bags = sorted(planted, key=lambda bag: bag.label)
    chosen = recipe("abmil", monitor="auroc")
    with pytest.raises(LabelsError, match=r"one class only.*--monitor loss"):
        _fit(bags, chosen, slice(8, 16), slice(0, 3))


def test_a_diverging_loss_is_an_error(planted: list[MilBag]) -> None:
    with pytest.raises(NumericsError, match=r"loss is (nan|inf).*smaller --lr"):
        _fit(planted, recipe("mean", lr=1e30), slice(0, 6), slice(6, 12))


def test_weighted_sampling_and_no_balance_train(planted: list[MilBag]) -> None:
    for balance in ("sampling", "none"):
        found = _fit(planted, recipe("mean", balance=balance, epochs=2), slice(0, 9), slice(9, 15))
        assert len(found.history) == 2


def test_one_cycle_ends_low(planted: list[MilBag]) -> None:
    chosen = recipe("mean", schedule="one-cycle", epochs=6)
    rates = [e.lr for e in _fit(planted, chosen, slice(0, 9), slice(9, 15)).history]
    assert max(rates) <= 5e-3
    assert max(rates[0], rates[-1]) < max(rates)


def test_padding_and_its_mask() -> None:
    bags, mask = pad([torch.ones(3, 2), torch.ones(1, 2)])
    assert mask is not None
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    assert bags[1, 1:].abs().sum() == 0
    assert pad([torch.ones(2, 2), torch.zeros(2, 2)])[1] is None


def test_nan_in_embeddings_is_an_error_that_names_the_patch(tmp_path: Path) -> None:
    rows = np.ones((6, 4), np.float32)
    rows[3, 1] = np.nan
    write_slide(tmp_path / "a.zarr", Planted("s1", rows, "x"))
    (bag,) = group(read_slides([str(tmp_path / "a.zarr")], ENCODER), "slide", ("x", "y"))
    match = "s1: embeddings 'toy' of 1 patches hold NaN or infinity, the first is patch 3"
    with pytest.raises(NumericsError, match=match):
        BagSource().rows(bag)


def test_a_patients_slides_are_one_bag_and_come_apart_again(tmp_path: Path) -> None:
    for name, count in (("b", 3), ("a", 2)):
        rows = np.full((count, 2), ord(name), np.float16)
        write_slide(tmp_path / "x.zarr", Planted(name, rows, "y", "p"))
    (bag,) = group(read_slides([str(tmp_path / "x.zarr")], ENCODER), "patient", ("y", "z"))
    rows = BagSource().tensor(bag)
    assert rows.dtype == torch.float32
    assert rows[:, 0].tolist() == [97, 97, 98, 98, 98]
    parts = {row.slide_id: values.tolist() for row, values in pieces(bag, np.arange(5.0)[None])}
    assert parts == {"a": [[0, 1]], "b": [[2, 3, 4]]}


@pytest.mark.parametrize("keep", [0, 1 << 20])
def test_what_is_kept_in_memory_changes_nothing(planted: list[MilBag], keep: int) -> None:
    source = BagSource(keep)
    first, second = source.rows(planted[0]), source.rows(planted[0])
    np.testing.assert_array_equal(first, second)
    assert (first is second) == bool(keep)


def test_a_device_that_is_not_there_is_refused() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ModelError, match="no device 'nonsense' here"):
        choose_device("nonsense")
