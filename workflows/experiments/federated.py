"""Cells of the federated experiment: pretrain over sites, fine-tune on few patients, test.

Y. Wu et al., Federated Contrastive Learning for Volumetric Medical Image Segmentation, MICCAI 2021
(METHODS 9.6). Differs from the paper: seeds take the place of folds, each with another fold; what
is pretrained on never tests; the last weights are kept, not those that are best on validation.
"""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.errors import DataError
from models.federated import simulation
from models.federated.averaging import State
from models.federated.bench import Bench
from models.federated.federation import Federation
from models.federated.joining import Members, find_members
from models.federated.plan import Plan
from models.federated.slices import OUTSIDE, Slices, read_slices
from models.federated.tuning import TuneSettings, dice_of, new_unet, tune_locally, tune_together
from models.mil.device import choose_device
from models.threads import side_by_side
from tiling.store import Archive
from workflows.experiments.cells import PRETEXT, Document, Result
from workflows.experiments.federated_config import FederatedConfig
from workflows.experiments.loop import Tell

FREE = {"starts", "modes", "annotated"}
"""Options that may change between runs into one folder: they add cells, or leave some out."""

Patients = Mapping[str, tuple[str, ...]]
"""Volumes of each patient."""

ENCODER = "encoder.network."
"""Prefix of the U-Net's way down in the weights of a method."""


@dataclass(frozen=True)
class FederatedCell:
    """One number of a table, of one seed."""

    start: str
    mode: str
    n: int
    seed: int
    work: float

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.start}-{self.mode}-n{self.n}-seed{self.seed}"

    def document(self) -> Document:
        """Give JSON values."""
        return {"start": self.start, "mode": self.mode, "n": self.n, "seed": self.seed}


@dataclass(frozen=True)
class Fold:
    """The patients of a site in one seed, each with its volumes.

    Attributes:
        train: in the order in which they are annotated.
        test: volumes of the others.
    """

    train: tuple[tuple[str, ...], ...]
    test: tuple[str, ...]

    def annotated(self, patients: int) -> tuple[str, ...]:
        """Give the volumes of the first patients."""
        return tuple(volume for one in self.train[:patients] for volume in one)


def patients_of(site: Members) -> dict[str, tuple[str, ...]]:
    """Give the volumes of each patient; a volume that names none is a patient of its own."""
    found: dict[str, list[str]] = {}
    archive = Archive.open(site.archive)
    for volume in site.slides:
        patient = archive[volume].attributes["patient"]
        found.setdefault(f"p{patient}" if patient else f"v{volume}", []).append(volume)
    return {name: tuple(volumes) for name, volumes in found.items()}


def fold_of(site: str, patients: Patients, seed: int, folds: int) -> Fold:
    """Cut the patients of a site.

    The cut is the same in all seeds, of which each tests the next fold; the order of annotation is
    another in each.

    Raises:
        DataError: there are fewer patients than folds.
    """
    if len(patients) < folds:
        raise DataError(f"{site} has {len(patients)} patients for {folds} folds")
    number = zlib.crc32(site.encode())
    cut = np.random.default_rng((folds, number)).permutation(np.array(sorted(patients))).tolist()
    test = set(np.array_split(cut, folds)[seed % folds].tolist())
    rest = [one for one in cut if one not in test]
    order = np.random.default_rng((seed, number)).permutation(np.array(rest)).tolist()
    tested = [volume for one in test for volume in patients[one]]
    return Fold(tuple(patients[one] for one in order), tuple(sorted(tested)))


@dataclass(frozen=True)
class FederatedTrials:
    """Computes cells.

    Attributes:
        config: of the experiment.
        sites: who takes part.
        patients: of each site, by its name.
        folder: of the experiment.
    """

    config: FederatedConfig
    sites: tuple[Members, ...]
    patients: Mapping[str, Patients]
    folder: Path

    @classmethod
    def prepare(cls, config: FederatedConfig) -> "FederatedTrials":
        """Find the sites, and refuse what cannot be computed before any work.

        Raises:
            DataError: there are too few patients at a site.
            StoreError: there is no such archive.
        """
        sites = tuple(find_members([config.archive], None))
        patients = {site.name: patients_of(site) for site in sites}
        cut = [fold_of(name, own, 0, config.folds) for name, own in patients.items()]
        fewest = min(len(fold.train) for fold in cut)
        if not 1 <= min(config.annotated) <= max(config.annotated) <= fewest:
            raise DataError(
                f"--annotated {max(config.annotated)}: a site has {fewest} patients that do not "
                "test"
            )
        return cls(config, sites, patients, Path(config.out).expanduser())

    @property
    def cells(self) -> list[FederatedCell]:
        """All cells, seed after seed."""
        config = self.config
        return [
            FederatedCell(start, mode, n, seed, float(config.tune_steps * len(self.sites)))
            for seed in config.seeds
            for start in config.starts
            for mode in config.modes
            for n in config.annotated
        ]

    @property
    def fingerprint(self) -> str:
        """Name the volumes of all patients, so that cells of others are not mixed in."""
        return json.dumps(self.patients, sort_keys=True)

    def compute(self, cell: FederatedCell, tell: Tell) -> Result:
        """Pretrain unless that was done, fine-tune, test at every site.

        Raises:
            ModelError: what pretraining or fine-tuning raises.
        """
        encoders = self._encoders(cell)
        folds = {site.name: self._fold(site, cell) for site in self.sites}
        marked = {n: self._slices[n].of(fold.annotated(cell.n)) for n, fold in folds.items()}
        tested = {n: self._slices[n].of(fold.test) for n, fold in folds.items()}
        tune = self._tune_local if cell.mode == "local" else self._tune_federated
        scores = tune(cell, encoders, marked, tested, tell)
        classes = [scores[name].T.tolist() for name in sorted(scores)]
        by_class = np.array([[mean_known(one) for one in site] for site in classes])
        dice = np.array([mean_known(scores[name].ravel().tolist()) for name in sorted(scores)])
        told = {"sites": sorted(scores), "dice": mean_known(dice.tolist())}
        return Result(told, {"dice": dice, "dice_by_class": by_class})

    def _fold(self, site: Members, cell: FederatedCell) -> Fold:
        return fold_of(site.name, self.patients[site.name], cell.seed, self.config.folds)

    @cached_property
    def classes(self) -> int:
        """Classes of the label maps, background among them."""
        most = max(int(one.masks[one.masks != OUTSIDE].max()) for one in self._slices.values())
        return most + 1

    @cached_property
    def _slices(self) -> Mapping[str, Slices]:
        side_px = self.config.side_px
        return {one.name: read_slices(one.archive, one.slides, side_px) for one in self.sites}

    def _settings(self, cell: FederatedCell) -> TuneSettings:
        config = self.config
        return TuneSettings(
            self.classes,
            config.tune_steps,
            min(config.tune_rounds, config.tune_steps),
            config.tune_batch,
            config.tune_lr,
            loss=config.tune_loss,
            bent=config.tune_bent,
            seed=cell.seed,
        )

    def _tune_local(
        self,
        cell: FederatedCell,
        encoders: Mapping[str, State | None],
        marked: Mapping[str, Slices],
        tested: Mapping[str, Slices],
        tell: Tell,
    ) -> dict[str, NDArray[np.float64]]:
        device, settings = choose_device(self.config.device), self._settings(cell)
        names, found = sorted(marked), {}
        unets = [new_unet(encoders[name], settings, self.config.width) for name in names]

        def tuned(number: int) -> NDArray[np.float64]:
            name, unet = names[number], unets[number].to(device)
            tune_locally(unet, marked[name], settings, name, lambda _: None)
            return dice_of(unet, tested[name], settings.classes)

        for number, scores in enumerate(side_by_side(tuned, range(len(names)), device)):
            found[names[number]] = scores
            tell((number + 1) / len(names))
        return found

    def _tune_federated(
        self,
        cell: FederatedCell,
        encoders: Mapping[str, State | None],
        marked: Mapping[str, Slices],
        tested: Mapping[str, Slices],
        tell: Tell,
    ) -> dict[str, NDArray[np.float64]]:
        """Tune one U-Net together; each site's own local encoders have a mean to begin with."""
        device, settings = choose_device(self.config.device), self._settings(cell)
        unet = new_unet(encoders[""], settings, self.config.width).to(device)
        tune_together(unet, marked, settings, tell)
        return {name: dice_of(unet, one, settings.classes) for name, one in tested.items()}

    def _encoders(self, cell: FederatedCell) -> dict[str, State | None]:
        """Give the weights that each site begins with, by name; of all together under ""."""
        names = [site.name for site in self.sites]
        if cell.start == "random":
            return dict.fromkeys([*names, ""])
        plan, folder = self._plan(cell), self.folder / PRETEXT / f"{cell.start}-seed{cell.seed}"
        simulation.run(self._job(cell, plan, folder), lambda _: None, lambda: False)
        mean = _encoder_of(simulation.ENCODER, folder)
        if cell.start != "local":
            return dict.fromkeys([*names, ""], mean)
        own = {one: _own(plan, folder / simulation.SITES / one) for one in names}
        return {**own, "": mean}

    def _plan(self, cell: FederatedCell) -> Plan:
        config = self.config
        method: Any = "fcl" if cell.start == "local" else cell.start
        settings: dict[str, Any] = {}
        if method != "rotnet":
            settings["temperature"] = config.temperature
        if method == "fcl":
            settings["features"] = config.features
        return Plan(
            method=method,
            width=config.width,
            side_px=config.side_px,
            rounds=config.rounds,
            epochs=config.epochs,
            batch=config.batch,
            base_lr=config.lr,
            seed=cell.seed,
            settings=settings,
        )

    def _job(self, cell: FederatedCell, plan: Plan, folder: Path) -> Document:
        train = {one.name: self._fold(one, cell).annotated(len(one.slides)) for one in self.sites}
        sites = [Members(s.name, s.archive, tuple(sorted(train[s.name]))) for s in self.sites]
        return {
            "plan": plan.document(),
            "sites": [one.document() for one in sites],
            "folder": str(folder),
            "alone": cell.start == "local",
            "clip": None,
            "noise": 0.0,
            "device": self.config.device,
        }


def mean_known(values: Sequence[float]) -> float:
    """Give the mean of the values that are numbers; NaN where none is."""
    known = [one for one in values if not math.isnan(one)]
    return fmean(known) if known else math.nan


def _own(plan: Plan, folder: Path) -> dict[str, Tensor]:
    """Give the encoder of a site that learned alone, from its last round."""
    weights = Federation(plan, folder, Bench(plan, choose_device("cpu")).weights()).weights
    return {n.removeprefix(ENCODER): t for n, t in weights.items() if n.startswith(ENCODER)}


def _encoder_of(name: str, folder: Path) -> dict[str, Tensor]:
    from models.encoders.weights import read_tensors

    return dict(read_tensors(folder / name))
