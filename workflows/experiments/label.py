"""Computes cells of the label-efficiency experiment: pretrain on a share, fine-tune on it, test.

Y.-J. Kim, M.-G. Cho, Self-supervised learning using different type of data within the domain for
small-volume medical data learning (in Korean; METHODS 7). Differs from the paper: splits are by
patient, classes are not balanced, seeds are repeated, and what the paper leaves open is our choice.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from models.encoders import Encoder, open_encoder
from models.mil.device import choose_device
from models.probe import FinetuneSettings, Tuned, finetune
from models.probe.cases import Indices
from models.probe.tensors import as_scores
from tiling.store import Archive
from workflows.experiments.bench import Bench
from workflows.experiments.cells import Document, Result
from workflows.experiments.label_cells import LabelCell, cells_of, stages_of
from workflows.experiments.label_config import ORGAN, LabelEfficiencyConfig
from workflows.experiments.loop import Tell
from workflows.experiments.pooling import Prediction, pool
from workflows.experiments.pretext import Trained, open_start, run_stage

FREE = {"methods", "fractions", "methods_at_full"}
"""Options that may change between runs into one folder: they add cells, or leave some out."""


@dataclass(frozen=True)
class LabelTrials:
    """Computes cells.

    Attributes:
        bench: the rows; its config is that of the experiment.
        config: the same, by its type.
    """

    bench: Bench
    config: LabelEfficiencyConfig

    @property
    def cells(self) -> list[LabelCell]:
        """All cells, seed after seed, small shares first."""
        return cells_of(self.config, len(self.bench.split.train))

    def require_start(self) -> None:
        """Open what all cells begin with, so that a mistake shows before any work.

        Raises:
            EncoderError: there is no such encoder.
            WeightsError: its weights are missing or wrong.
        """
        open_start(self.config, self.config.encoder, self.config.seeds[0])

    def leaks(self) -> list[str]:
        """Say which test patients the other organ's archive holds."""
        config = self.config
        if config.organ_archive is None:
            return []
        known = [store.attributes for store in Archive.open(config.organ_archive).stores()]
        wanted = config.organ_split
        used = [one for one in known if wanted in (None, one["labels"].get("split"))]
        seen = {str(one.get("patient") or one["slide_id"]) for one in used}
        tested = {self.bench.cases.patients[i] for i in np.unique(self.bench.truth.patients)}
        both = sorted(seen & tested)
        if not both:
            return []
        return [
            f"{len(both)} test patients, such as {both[0]}, are also in {config.organ_archive}, so "
            f"scores of methods with {ORGAN} may be too good"
        ]

    def compute(self, cell: LabelCell, tell: Tell) -> Result:
        """Train and test one cell.

        Raises:
            ModelError: what pretraining or fine-tuning raises.
        """
        config, rows = self.config, self.bench.share(cell.fraction, cell.seed)
        before = cell.pretext_work / cell.work
        encoder, pretext = self._start(cell, lambda share: tell(before * share))

        def on_epoch(line: dict[str, Any]) -> None:
            tell(before + (1 - before) * (line["epoch"] + 1) / config.finetune_epochs)

        settings = FinetuneSettings(
            epochs=config.finetune_epochs,
            batch=config.finetune_batch,
            rate=config.finetune_lr,
            device=str(choose_device(config.device)),
        )
        cases, pixels = self.bench.cases, self.bench.pixels
        tuned = finetune(
            encoder, cases, rows, pixels, seed=cell.seed, settings=settings, on_epoch=on_epoch
        )
        found = self._prediction(tuned)
        return Result(self._told(tuned, found, rows) | {"pretext": pretext}, found.arrays())

    def _start(self, cell: LabelCell, tell: Tell) -> tuple[Encoder, list[Document]]:
        """Give what fine-tuning begins with, and what it has seen."""
        stages, trained = stages_of(self.config, cell), list[Trained]()
        for number, stage in enumerate(stages):
            chained = replace(stage, init=trained[-1].checkpoint) if trained else stage
            part = partial(_part, tell, number, len(stages))
            trained.append(run_stage(chained, self.config, self.config.encoder, part))
        if not trained:
            return open_start(self.config, self.config.encoder, cell.seed), []
        return open_encoder(trained[-1].checkpoint), [one.document for one in trained]

    def _prediction(self, tuned: Tuned) -> Prediction:
        test = self.bench.split.test
        logits = tuned.all_logits(self.bench.pixels, test, self.config.finetune_batch)
        return prediction(logits, self.bench.truth.labels)

    def _told(self, tuned: Tuned, found: Prediction, rows: Indices) -> Document:
        bench, config = self.bench, self.config
        scores = pool(bench.truth, [found], seed=config.resample_seed, resamples=config.resamples)
        taught = np.unique(bench.cases.label[rows])
        names = enumerate(bench.cases.names)
        return {
            "train": bench.counted(rows),
            "untaught": [name for number, name in names if number not in taught],
            "kept_epoch": [line["epoch"] for line in tuned.history if line["best"]][-1],
            "epochs": list(tuned.history),
            "device": str(tuned.head.weight.device),
            "scores": {name: one.document() if one else None for name, one in scores.items()},
        }


def prediction(logits: Tensor, labels: Indices) -> Prediction:
    """Take probabilities and losses from logits (m, C), without loss of small probabilities."""
    logs = as_scores(logits.double().log_softmax(dim=1))
    return Prediction(np.exp(logs), -logs[np.arange(len(logs)), labels])


def _part(tell: Tell, number: int, count: int, share: float) -> None:
    """Tell of the share of one of several parts."""
    tell((number + share) / count)
