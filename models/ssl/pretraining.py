"""Pretrain an encoder: from a job to a checkpoint with its card."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.augment import open_preset
from models.dist import synchronize_batchnorm
from models.encoders import Encoder, EncoderCard, open_encoder, save_checkpoint
from models.errors import DataError
from models.ssl.job import PretrainJob
from models.ssl.patches import Chosen, choose
from models.ssl.settings import MethodSettings
from models.ssl.table import METHODS, Recipe, check_sampler
from models.training.fabric import new_fabric, usual_workers
from models.training.feed import Feed, Sampling, Share
from models.training.loop import Habits, Line, Loop, Stop
from models.training.method import Method
from models.training.neighbours import Neighbours, choose_rows
from models.training.session import Session
from models.training.settings import TrainSettings, fit_batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

ENCODER = "encoder.safetensors"
"""File of the trained encoder in the folder of a run."""


def run(document: dict[str, Any], tell: Callable[[Line], None], stop: Stop) -> dict[str, Any]:
    """Pretrain, or go on with it; what `workflows.training` calls here or on a worker.

    Args:
        document: of a `PretrainJob`.
        tell: takes lines of progress and metrics, of rank 0 alone.
        stop: asks whether to stop; the state is then saved.

    Returns:
        JSON values: whether it `finished`, `step`, `steps`, `card`, what was trained on.

    Raises:
        NumericsError: the loss became NaN, or embeddings collapsed.
        DataError: the patches do not fit.
        EncoderError: there is no such encoder.
    """
    job = PretrainJob.of(document)
    fabric = new_fabric(job.device, job.precision)
    return Pretraining(fabric, job).run(tell, stop)


class Pretraining:
    """One pretraining in one process.

    Args:
        fabric: launched.
        job: what is asked for.
    """

    def __init__(self, fabric: "Fabric", job: PretrainJob) -> None:
        self.fabric, self.job = fabric, job
        self.recipe: Recipe = METHODS[job.method]
        self.folder = Path(job.folder)
        self.chosen: Chosen = choose(job)
        self.notes: list[str] = []
        self.encoder = open_encoder(job.encoder, job.weights, input_px=job.input_px)
        self.start_card = self.encoder.card
        self.settings = self._training_settings()
        self.method_settings = self._method_settings()
        self.method = self._new_method(self.encoder)

    def run(self, tell: Callable[[Line], None], stop: Stop) -> dict[str, Any]:
        """Train to the end, or until it is asked to stop."""
        session = Session(self.folder, tell)
        loop = Loop(
            self.fabric,
            self.method,
            self._feed(),
            self.settings,
            self._habits(),
            tell=session.write,
            judge=self._judge(),
        )
        found = session.run(loop, self.chosen.document(), self.notes, stop)
        card = self._finish() if found["finished"] and self.fabric.is_global_zero else None
        self.fabric.barrier()
        told = None if card is None else card.document()
        return found | {"card": told, "data": self.chosen.document()}

    def _training_settings(self) -> TrainSettings:
        """Give the method's settings with what was asked for; the batch fits the data."""
        asked = dict(self.job.training)
        usual = self.recipe.training
        if "epochs" in asked and "warmup_epochs" not in asked:  # keep the share of the run
            asked["warmup_epochs"] = usual.warmup_epochs * asked["epochs"] / usual.epochs
        settings = replace(usual, **asked)
        unit = self.fabric.world_size * settings.accumulate
        if self.job.sampler == "k-per-slide":
            unit *= self.job.per_slide
        fitted, notes = fit_batch(settings, len(self.chosen.rows), unit)
        self.notes += notes
        return fitted

    def _new_method(self, encoder: Encoder) -> Method:
        job, known = self.job, self.chosen.patches.label_names
        settings, slides = self.method_settings, len(np.unique(self.chosen.slides))
        check_sampler(self.recipe, settings, job.sampler, per_slide=job.per_slide, slides=slides)
        method: Method = self.recipe.make(encoder, settings, classes=len(known), seed=job.seed)
        synchronize_batchnorm(method, self.fabric.device)
        if job.compile:
            for part in (module for module in method.modules() if isinstance(module, Encoder)):
                part.network.compile()  # the twin's too
        if self.settings.accumulate > 1 and not method.exact_accumulation:
            self.notes.append(
                f"{job.method} in {self.settings.accumulate} parts is not the same as one batch: "
                "its negatives come from each part alone"
            )
        return method.train()

    def _method_settings(self) -> MethodSettings:
        try:
            return replace(self.recipe.method, **self.job.settings)
        except ValueError as err:
            raise DataError(f"{self.job.method}: {err}") from err

    def _feed(self) -> Feed:
        job, card = self.job, self.start_card
        sampling = Sampling(
            self.chosen.rows,
            self.chosen.slides,
            self.settings.batch,
            job.sampler,
            job.per_slide,
            job.seed,
        )
        options: dict[str, Any] = {"side_px": card.input_px, "mean": card.mean, "std": card.std}
        if job.crop_min is not None:
            options["crop_min"] = job.crop_min
        if self.method_settings.jitter is not None:
            options["strength"] = self.method_settings.jitter
        preset = open_preset(
            self.recipe.preset,
            **options | dict(self.recipe.preset_options),
            d4=job.d4 and self.recipe.takes_d4,
            stain=job.stain,
        )
        share = Share(self.fabric.global_rank, self.fabric.world_size, self.settings.accumulate)
        device, workers = self.fabric.device, job.workers
        if workers is None:
            workers = usual_workers(device)
        return Feed(self.chosen.patches, sampling, preset, share, device, workers)

    def _habits(self) -> Habits:
        job = self.job
        return Habits(
            self.folder,
            job.identity,
            job.seed,
            job.log_steps,
            job.save_seconds,
            # with labels two classes may well end on one line
            job.stop_on_collapse and not self.recipe.needs_labels,
        )

    def _judge(self) -> Neighbours | None:
        patches = self.chosen.patches
        if not self.job.knn_epochs or patches.labels is None:
            return None
        rows = choose_rows(patches.slides, patches.slide_of, patches.labels, seed=self.job.seed)
        if rows is None:
            return None
        return Neighbours(patches, patches.labels, *rows, every=self.job.knn_epochs)

    def _finish(self) -> EncoderCard:
        """Write the encoder; states stay until the run's record is written."""
        job, card = self.job, self.start_card
        told = self.chosen.document()
        patch_px = told["patch_px"]
        seen = (
            f"{job.method}: {told['patches']:,} patches of {told['slides']:,} slides "
            f"({', '.join(Path(archive).name for archive in job.archives)}), "
            f"{self.settings.epochs} epochs, batch {self.settings.batch}, seed {job.seed}"
        )
        changed = card.model_copy(
            update={
                "name": job.name or f"{_plain(card.name)}-{job.method}",
                "method": job.method,
                "mpp": told["mpp"],
                "patch_px": None if patch_px == card.input_px else patch_px,
                "data": (*seen_before(card), seen),
            }
        )
        path = self.folder / ENCODER
        return save_checkpoint(path, self.method.encoder, changed)


def seen_before(card: EncoderCard) -> tuple[str, ...]:
    """Give what the weights have seen before, oldest first."""
    if card.method == "random":
        return (card.weights,)
    return card.data or (f"{card.method}: {card.weights}",)


def _plain(name: str) -> str:
    """Leave out the method of an earlier stage, which `data` keeps."""
    for method in METHODS:
        name = name.removesuffix(f"-{method}")
    return name
