"""Cells of the data-efficiency experiment: pretrain, take a layer, judge its embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from models.encoders import Encoder, open_encoder
from models.mil.device import choose_device
from workflows.experiments.bench import Bench
from workflows.experiments.cells import Result
from workflows.experiments.data_config import DataEfficiencyConfig, Downstream
from workflows.experiments.data_rows import PUBLISHED, Row, rows_of
from workflows.experiments.embedding import Embedder
from workflows.experiments.judges import Judge, Probes
from workflows.experiments.loop import Tell
from workflows.experiments.pooling import Prediction, Truth, pool
from workflows.experiments.pretext import Stage, effort, open_start, run_stage

FREE = {"fractions", "layers", "strategies", "ctranspath"}
"""Options that may change between runs into one folder: they add rows, or leave some out."""

FORWARD = 1 / 3
"""Work of embedding a patch, against a step of training on it."""


@dataclass(frozen=True)
class DataCell:
    """One row of the table, once."""

    row: Row
    seed: int
    work: float

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.row.slug}-seed{self.seed}"

    def document(self) -> dict[str, Any]:
        """Give JSON values."""
        return {"row": self.row.slug, "seed": self.seed}


@dataclass(frozen=True)
class DataTrials:
    """Computes cells.

    Attributes:
        config: of the experiment.
        judges: what embeddings are judged by.
        patches: of the training split, for the time that is left.
    """

    config: DataEfficiencyConfig
    judges: Sequence[Judge]
    patches: int

    @classmethod
    def prepare(cls, config: DataEfficiencyConfig) -> "DataTrials":
        """Read who teaches and who tests, and open what all begin with.

        Raises:
            LabelsError: there are no labels, or a side of the split is empty.
            EncoderError: there is no such encoder, or it has no such layer.
            WeightsError: weights are missing or wrong.
        """
        judges: list[Judge] = []
        if set(config.downstream) - {"mil"}:
            judges.append(Probes(Bench.prepare(config), config))
        if "mil" in config.downstream:
            from workflows.experiments.bagged import BagJudge

            judges.append(BagJudge(config, choose_device(config.device)))
        for layer in dict.fromkeys(("last", *config.layers)):
            open_start(config, config.encoder, config.seeds[0], layer)
        if config.ctranspath is not None:
            open_encoder(PUBLISHED, config.ctranspath)
        return cls(config, judges, judges[0].about()["split"]["train"]["patches"])

    @property
    def truths(self) -> Mapping[Downstream, Truth]:
        """What is tested, by judge, in the order asked for."""
        known = {name: truth for judge in self.judges for name, truth in judge.truths.items()}
        return {name: known[name] for name in self.config.downstream}

    @property
    def cells(self) -> list[DataCell]:
        """All cells, seed after seed; without weights for it CTransPath's are left out."""
        given = self.config.ctranspath is not None
        return [
            DataCell(row, seed, self._pretext_work(row) + self._judging_work)
            for seed in self.config.seeds
            for row in rows_of(self.config)
            if given or row.kind != "published"
        ]

    def compute(self, cell: DataCell, tell: Tell) -> Result:
        """Pretrain, embed, judge.

        Raises:
            ModelError: what pretraining or a judge raises.
        """
        before = self._pretext_work(cell.row) / cell.work
        encoder, pretext = self._encoder(cell, lambda share: tell(before * share))
        embedder = Embedder(encoder, choose_device(self.config.device), self.config.embed_batch)
        found: dict[Downstream, Prediction] = {}
        for number, judge in enumerate(self.judges):
            part = partial(_part, tell, before, number, len(self.judges))
            found |= judge.predict(embedder, cell.seed, part)
        return self._judged(encoder, found, pretext)

    def stage(self, row: Row, seed: int) -> Stage | None:
        """Give the pretraining of a row; rows that differ in the layer alone share it."""
        config = self.config
        if row.method is None:
            return None
        options = {
            "warmup_epochs": config.warmup_epochs,
            "positives": config.positives,
            "plain_epochs": config.plain_epochs,
        }
        return Stage(
            f"{row.method}-{row.fraction}-seed{seed}",
            row.method,
            config.archive,
            config.train_split,
            row.fraction,
            by_class=False,
            seed=seed,
            epochs=config.pretext_epochs,
            init=config.init,
            options={name: value for name, value in options.items() if value is not None},
        )

    def _encoder(self, cell: DataCell, tell: Tell) -> tuple[Encoder, dict[str, Any] | None]:
        stage = self.stage(cell.row, cell.seed)
        if stage is None:
            return open_encoder(PUBLISHED, self.config.ctranspath), None
        trained = run_stage(stage, self.config, self.config.encoder, tell)
        return open_encoder(trained.checkpoint, layer=cell.row.layer), trained.document

    def _judged(
        self,
        encoder: Encoder,
        found: Mapping[Downstream, Prediction],
        pretext: dict[str, Any] | None,
    ) -> Result:
        config, truths = self.config, self.truths
        scores = {
            judge: pool(truths[judge], [one], seed=config.resample_seed, resamples=config.resamples)
            for judge, one in found.items()
        }
        document = {
            "encoder": encoder.card.document(),
            "pretext": pretext,
            "scores": {
                judge: {name: one.document() if one else None for name, one in each.items()}
                for judge, each in scores.items()
            },
        }
        arrays = [one.arrays(f"{judge}_") for judge, one in found.items()]
        return Result(document, {name: rows for many in arrays for name, rows in many.items()})

    @property
    def _judging_work(self) -> float:
        return FORWARD * sum(judge.patches for judge in self.judges)

    def _pretext_work(self, row: Row) -> float:
        if row.method is None or row.kind == "layer":
            return 0.0
        return effort(row.method) * self.patches * row.fraction * self.config.pretext_epochs


def _part(tell: Tell, before: float, number: int, count: int, share: float) -> None:
    """Tell of the share of one of several judges, after pretraining."""
    tell(before + (1 - before) * (number + share) / count)
