"""Computes cells of the distillation experiment: a run of `microtome distill`, a student's answers.

Park et al., Self-evolving vision transformer for chest X-ray diagnosis through knowledge
distillation, Nature Communications 13:3848, 2022, arXiv 2202.06431; METHODS 8. The paper's table
has the initial model and T = 1, 2, 3, and compares with full supervision by as many images; its
ablations are not known to us, so these are ours.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.distilling.predicting import Predictions
from models.errors import LabelsError
from workflows.distilling.request import stage_name
from workflows.experiments.bench import Bench
from workflows.experiments.cells import Result
from workflows.experiments.distill_cells import DistillCell, cells_of, run_config
from workflows.experiments.distill_config import DistillationConfig
from workflows.experiments.loop import Tell
from workflows.experiments.pooling import Prediction, Truth, pool
from workflows.outcome import INTERRUPTED
from workflows.progress import Update

FREE = {"ablations", "supervised", "scheduler"}
"""Options that may change between runs into one folder: they add rows, or leave some out."""


@dataclass(frozen=True)
class DistillTrials:
    """Computes cells.

    Attributes:
        bench: the test rows.
        config: of the experiment.
    """

    bench: Bench
    config: DistillationConfig

    @property
    def cells(self) -> list[DistillCell]:
        """All cells, seed after seed."""
        return cells_of(self.config, len(self.bench.split.train))

    @property
    def truth(self) -> Truth:
        """Class and patient of every test row, with the scores that are wanted."""
        truth = self.bench.truth
        return Truth(truth.labels, truth.patients, ("macro_f1",))

    def compute(self, cell: DistillCell, tell: Tell) -> Result:
        """Train up to the cell's stage, or go on with it, and take its student's answers.

        Raises:
            KeyboardInterrupt: it was stopped; the next run goes on from there.
            ModelError: what distillation raises.
        """
        from workflows import distill

        def told(update: Update) -> None:
            tell(update.share or 0.0)

        config = run_config(self.config, cell)
        outcome = distill.run(config, told)
        if outcome.exit_code == INTERRUPTED:
            raise KeyboardInterrupt
        stages = outcome.document["stages"]
        line = stages[-1]
        found = self._prediction(Path(config.out) / stage_name(cell.row.rounds))
        scores = pool(
            self.truth,
            [found],
            seed=self.config.resample_seed,
            resamples=self.config.resamples,
        )
        document = {
            "run": Path(config.out).name,
            "steps": line["steps"],
            "patches": line["patches"],
            "parts": outcome.document["parts"],
            "device": line["device"],
            "training_seconds": sum(one["seconds"] for one in stages),
            "notes": list(outcome.document["notes"]),
            "scores": {name: one.document() if one else None for name, one in scores.items()},
        }
        return Result(document, found.arrays())

    def _prediction(self, folder: Path) -> Prediction:
        """Bring a student's answers into the order of the bench's test rows.

        Raises:
            LabelsError: they are of other patches.
        """
        found, cases, test = Predictions.load(folder), self.bench.cases, self.bench.split.test
        names = found.slide_ids[found.slide].tolist()
        place = {key: i for i, key in enumerate(zip(names, found.patch.tolist(), strict=True))}
        slides = [cases.slide_ids[number] for number in cases.slide[test].tolist()]
        wanted = list(zip(slides, cases.index[test].tolist(), strict=True))
        if len(place) != len(wanted) or any(key not in place for key in wanted):
            raise LabelsError(f"{folder} was scored on other patches than the experiment's")
        order = np.array([place[key] for key in wanted], np.int64)
        return Prediction(self._columns(found.probabilities[order]))

    def _columns(self, shares: NDArray[np.float64]) -> NDArray[Any]:
        """Refuse classes that the bench does not have."""
        if shares.shape[1] != len(self.bench.cases.names):
            raise LabelsError(
                f"the student knows {shares.shape[1]} classes, the labelled patches have "
                f"{len(self.bench.cases.names)}"
            )
        return shares
