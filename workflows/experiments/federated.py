"""Cells of the federated experiment: pretrain over sites, fine-tune on few patients, test.

Y. Wu et al., Federated Contrastive Learning for Volumetric Medical Image Segmentation, MICCAI 2021
(METHODS 9.6). Differs from the paper: seeds take the place of folds, each with another fold; what
is pretrained on never tests; the last weights are kept, not those that are best on validation.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
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
from workflows.experiments.cells import PRETEXT, Document, Result
from workflows.experiments.federated_config import FederatedConfig
from workflows.experiments.loop import Tell

FREE = {"starts", "modes", "annotated"}
"""Options that may change between runs into one folder: they add cells, or leave some out."""

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
    """The volumes of a site in one seed: `train` in the order in which they are annotated."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def fold_of(site: Members, seed: int, folds: int) -> Fold:
    """Cut the volumes of a site.

    The cut is the same in all seeds, of which each tests the next fold; the order of annotation is
    another in each.

    Raises:
        DataError: there are fewer volumes than folds.
    """
    if len(site.slides) < folds:
        raise DataError(f"{site.name} has {len(site.slides)} volumes for {folds} folds")
    name = zlib.crc32(site.name.encode())
    cut = np.random.default_rng((folds, name)).permutation(np.array(site.slides))
    test = np.array_split(cut, folds)[seed % folds]
    rest = [one for one in cut.tolist() if one not in set(test.tolist())]
    order = np.random.default_rng((seed, name)).permutation(np.array(rest))
    return Fold(tuple(order.tolist()), tuple(sorted(test.tolist())))


@dataclass(frozen=True)
class FederatedTrials:
    """Computes cells.

    Attributes:
        config: of the experiment.
        sites: who takes part.
        folder: of the experiment.
    """

    config: FederatedConfig
    sites: tuple[Members, ...]
    folder: Path

    @classmethod
    def prepare(cls, config: FederatedConfig) -> "FederatedTrials":
        """Find the sites, and refuse what cannot be computed before any work.

        Raises:
            DataError: there are too few volumes at a site.
            StoreError: there is no such archive.
        """
        sites = tuple(find_members([config.archive], None))
        fewest = min(len(fold_of(site, 0, config.folds).train) for site in sites)
        if not 1 <= min(config.annotated) <= max(config.annotated) <= fewest:
            raise DataError(
                f"--annotated {max(config.annotated)}: a site has {fewest} volumes that do not test"
            )
        return cls(config, sites, Path(config.out).expanduser())

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
        """Name the volumes, so that cells of others are not mixed in."""
        return ";".join(f"{one.name}:{','.join(one.slides)}" for one in self.sites)

    def compute(self, cell: FederatedCell, tell: Tell) -> Result:
        """Pretrain unless that was done, fine-tune, test at every site.

        Raises:
            ModelError: what pretraining or fine-tuning raises.
        """
        encoders = self._encoders(cell)
        folds = {site.name: fold_of(site, cell.seed, self.config.folds) for site in self.sites}
        marked = {name: self._slices[name].of(fold.train[: cell.n]) for name, fold in folds.items()}
        tested = {name: self._slices[name].of(fold.test) for name, fold in folds.items()}
        tune = self._tune_local if cell.mode == "local" else self._tune_federated
        scores = tune(cell, encoders, marked, tested, tell)
        dice = np.array([np.nanmean(scores[name]) for name in sorted(scores)])
        by_class = np.stack([np.nanmean(scores[name], axis=0) for name in sorted(scores)])
        told = {"sites": sorted(scores), "dice": float(dice.mean())}
        return Result(told, {"dice": dice, "dice_by_class": by_class.astype(np.float64)})

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
        folds = self.config.folds
        sites = [
            Members(one.name, one.archive, tuple(sorted(fold_of(one, cell.seed, folds).train)))
            for one in self.sites
        ]
        return {
            "plan": plan.document(),
            "sites": [one.document() for one in sites],
            "folder": str(folder),
            "alone": cell.start == "local",
            "clip": None,
            "noise": 0.0,
            "device": self.config.device,
        }


def _own(plan: Plan, folder: Path) -> dict[str, Tensor]:
    """Give the encoder of a site that learned alone, from its last round."""
    weights = Federation(plan, folder, Bench(plan, choose_device("cpu")).weights()).weights
    return {n.removeprefix(ENCODER): t for n, t in weights.items() if n.startswith(ENCODER)}


def _encoder_of(name: str, folder: Path) -> dict[str, Tensor]:
    from models.encoders.weights import read_tensors

    return dict(read_tensors(folder / name))
