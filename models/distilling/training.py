"""One stage of DISTL: from a job to a student with its teacher, and what it says of the tests."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.augment import open_preset
from models.dist import synchronize_batchnorm
from models.distilling.choosing import Parts, choose_parts
from models.distilling.correcting import Correction
from models.distilling.job import DistillJob
from models.distilling.keeping import finish, forget
from models.distilling.method import Distl
from models.distilling.settings import DISTL_TRAINING, DistlSettings
from models.distilling.starting import Started, start
from models.errors import DataError
from models.training.fabric import new_fabric, usual_workers
from models.training.feed import Feed, Sampling, Share
from models.training.loop import Habits, Line, Loop, Stop
from models.training.session import Session
from models.training.settings import TrainSettings, fit_batch
from tiling.epochs import Indices

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LABELLED_STREAM = 13
"""Sets order and augmentation of corrections apart from those of unlabelled patches."""


def run(document: dict[str, Any], tell: Callable[[Line], None], stop: Stop) -> dict[str, Any]:
    """Train a stage, or go on with it; what `workflows.training` calls here or on a worker.

    Args:
        document: of a `DistillJob`.
        tell: takes lines of progress and metrics, of rank 0 alone.
        stop: asks whether to stop; the state is then saved.

    Returns:
        JSON values: whether it `finished`, `step`, `steps`, `card`, `model`, the data and parts.

    Raises:
        LabelsError: there are no labels, or not of two classes.
        DataError: the patches do not fit, or a part of them is empty.
        EncoderError: there is no such encoder, or it cannot take views of such sides.
        WeightsError: weights, or the model of the stage before, are missing or wrong.
        NumericsError: the loss became NaN, or embeddings collapsed.
    """
    job = DistillJob.of(document)
    fabric = new_fabric(job.device, job.precision)
    return Distillation(fabric, job).run(tell, stop)


class Distillation:
    """One stage in one process.

    Args:
        fabric: launched.
        job: what is asked for.
    """

    def __init__(self, fabric: "Fabric", job: DistillJob) -> None:
        self.fabric, self.job = fabric, job
        self.folder = Path(job.folder)
        self.parts: Parts = choose_parts(job)
        self.rows = _rows(job, self.parts)
        self.notes = list(self.parts.notes)
        self.settings = self._training_settings(len(self.rows))
        self.started: Started = start(job, self.parts, self._method_settings())
        self.notes += self.started.notes
        self.method = Distl(
            self.started.student,
            self.started.teacher,
            self.started.settings,
            self.parts.target,
            initial=job.round == 0,
        )
        synchronize_batchnorm(self.method, fabric.device)

    def run(self, tell: Callable[[Line], None], stop: Stop) -> dict[str, Any]:
        """Train to the end, or until it is asked to stop; then ask the student about the tests."""
        session = Session(self.folder, tell)
        feed = self._feed(self.rows, self.settings, self.job.seed)
        loop = Loop(
            self.fabric,
            self.method.train(),
            feed,
            self.settings,
            self._habits(),
            tell=session.write,
            interlude=self._correction(feed),
        )
        if loop.step == 0 and self.fabric.is_global_zero:
            forget(self.folder)
        data = self.parts.counted(self.rows)
        found = session.run(loop, data, self.notes, stop)
        told: dict[str, Any] = {"card": None, "model": None}
        if found["finished"] and self.fabric.is_global_zero:
            told = finish(self.job, self.parts, self.started, self.method, found["training"])
        self.fabric.barrier()
        return found | told | {"data": data, "parts": self._counts()}

    def _training_settings(self, rows: int) -> TrainSettings:
        """Give the published settings with what was asked for; the batch fits the rows."""
        asked = dict(self.job.training)
        epochs = asked.get("epochs", DISTL_TRAINING.epochs)
        share = DISTL_TRAINING.warmup_epochs / DISTL_TRAINING.epochs
        asked.setdefault("warmup_epochs", min(DISTL_TRAINING.warmup_epochs, share * epochs))
        settings = replace(DISTL_TRAINING, **asked)
        fitted, notes = fit_batch(settings, rows, self._unit(settings))
        self.notes += notes
        return fitted

    def _unit(self, settings: TrainSettings) -> int:
        return self.fabric.world_size * settings.accumulate

    def _method_settings(self) -> DistlSettings:
        """Give the published settings with what was asked for; all epochs are self-supervised.

        Raises:
            DataError: they make no sense.
        """
        epochs = self.settings.epochs
        asked = {"ssl_epochs": epochs} | dict(self.job.settings)
        try:
            found = replace(DistlSettings(), **asked)
        except ValueError as err:
            raise DataError(f"distl: {err}") from err
        if not found.self_training and not found.distils(epochs - 1):
            raise DataError(
                f"distl: without self-training the epochs from {found.ssl_epochs} on would learn "
                "nothing from unlabelled patches; use as many --ssl-epochs as --epochs"
            )
        return found

    def _feed(self, rows: Indices, settings: TrainSettings, seed: int) -> Feed:
        job, card = self.job, self.started.card
        sampling = Sampling(rows, self.parts.patches.slide_of[rows], settings.batch, seed=seed)
        preset = open_preset(
            "distl",
            side_px=card.input_px,
            local_px=self.started.local_px,
            mean=card.mean,
            std=card.std,
            d4=False,
        )
        # those before draw the same without the rest
        seen = preset.recipe.views[: self.method.views]
        preset = replace(preset, recipe=replace(preset.recipe, views=seen))
        share = Share(self.fabric.global_rank, self.fabric.world_size, settings.accumulate)
        workers = usual_workers(self.fabric.device) if job.workers is None else job.workers
        return Feed(self.parts.patches, sampling, preset, share, self.fabric.device, workers)

    def _correction(self, feed: Feed) -> Correction | None:
        """Prepare the passes over the labelled set, where there are any."""
        settings = self.started.settings
        if self.job.round == 0 or not settings.correction:
            return None
        rows = self.parts.labelled
        fitted, notes = fit_batch(self.settings, len(rows), self._unit(self.settings))
        self.notes += [f"of the labelled patches {text}" for text in notes]
        labelled = self._feed(rows, fitted, self.job.seed + (LABELLED_STREAM << 32))
        steps = self.settings.epochs * feed.sampling.steps_per_epoch
        return Correction(labelled, settings.correct_steps, steps)

    def _habits(self) -> Habits:
        job = self.job
        return Habits(
            self.folder,
            job.identity,
            job.seed,
            job.log_steps,
            job.save_seconds,
            job.stop_on_collapse,
        )

    def _counts(self) -> dict[str, Any]:
        parts = self.parts
        return {
            "labelled": parts.counted(parts.labelled),
            "folds": [parts.counted(rows) for rows in parts.folds],
            "test": parts.counted(parts.test),
            "classes": list(parts.classes),
            "target": parts.target,
        }


def _rows(job: DistillJob, parts: Parts) -> Indices:
    """Give the rows of the stage's steps: labelled ones of round 0, else the first folds.

    Raises:
        DataError: there are not so many folds.
    """
    most = max(job.round, job.teach_folds)
    if most > job.folds:
        raise DataError(f"round {most} needs as many folds, and there are {job.folds}")
    if job.round:
        return parts.unlabelled(job.round)
    further = parts.unlabelled(job.teach_folds)
    labels = np.asarray(parts.patches.labels)[further]
    known = labels >= 0 if labels.ndim == 1 else (labels >= 0).any(axis=1)
    return np.sort(np.concatenate([parts.labelled, further[known]]))
