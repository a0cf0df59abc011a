"""Pretrain an encoder: from a job to a checkpoint with its card."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from models.augment import open_preset
from models.dist import synchronize_batchnorm
from models.encoders import Encoder, EncoderCard, open_encoder, save_checkpoint
from models.errors import DataError, EncoderError
from models.ssl.job import PretrainJob
from models.ssl.patches import Chosen, choose
from models.ssl.settings import MethodSettings
from models.ssl.table import METHODS, Recipe, check_sampler
from models.training.feed import Feed, Sampling, Share
from models.training.journal import Journal
from models.training.loop import Habits, Line, Loop, Stop
from models.training.method import Method
from models.training.neighbours import Neighbours, choose_rows
from models.training.settings import TrainSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

ENCODER = "encoder.safetensors"
"""File of the trained encoder in the folder of a run."""

MOST_WORKERS = 8
"""Reading processes of one training process by default."""


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
    fabric = new_fabric(job)
    return Pretraining(fabric, job).run(tell, stop)


def new_fabric(job: PretrainJob) -> "Fabric":
    """Set up the device, the number format and, under torchrun, the other processes.

    Raises:
        EncoderError: a GPU is asked for, and there is none.
    """
    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells of every process
    there = torch.cuda.is_available()
    if job.device == "cuda" and not there:
        raise EncoderError("--device cuda: torch finds no GPU here; use --device auto or cpu")
    on_gpu = there and job.device != "cpu"
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    bf16 = job.precision == "bf16" or (
        job.precision == "auto" and on_gpu and torch.cuda.is_bf16_supported()
    )
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices=processes,
        num_nodes=world // processes,
        strategy="ddp" if world > 1 else "auto",
        precision="bf16-mixed" if bf16 else "32-true",
    )
    fabric.launch()
    return fabric


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
        started = time.monotonic()
        journal: Journal | None = None

        def write(line: Line) -> None:
            if journal is not None:
                journal.write(line)
            tell(line)

        loop = Loop(
            self.fabric,
            self.method,
            self._feed(),
            self.settings,
            self._habits(),
            tell=write,
            judge=self._judge(),
        )
        if self.fabric.is_global_zero:
            journal = Journal(self.folder, loop.step)
        for text in self.notes:
            write({"kind": "note", "step": loop.step, "text": text})
        write(self._start_line(loop))
        try:
            finished = loop.run(stop)
        finally:
            if journal is not None:
                journal.close()
        card = self._finish() if finished and self.fabric.is_global_zero else None
        self.fabric.barrier()
        return {
            "finished": finished,
            "step": loop.step,
            "steps": loop.steps,
            "seconds": round(time.monotonic() - started, 3),
            "card": None if card is None else card.document(),
            "data": self.chosen.document(),
            "training": {name: getattr(self.settings, name) for name in self.settings.__slots__},
            "device": _device_name(self.fabric.device),
            "processes": self.fabric.world_size,
        }

    def _start_line(self, loop: Loop) -> Line:
        return {
            "kind": "start",
            "step": loop.step,
            "steps": loop.steps,
            "epochs": self.settings.epochs,
            "batch": self.settings.batch,
            **self.chosen.document(),
        }

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
        batch = min(settings.batch, len(self.chosen.rows)) // unit * unit
        if batch != settings.batch and batch > 0:
            self.notes.append(
                f"the batch is {batch}, not {settings.batch}: a multiple of {unit}, and no more "
                f"than the {len(self.chosen.rows):,} patches"
            )
        return replace(settings, batch=max(batch, unit))

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
        device, workers = self.fabric.device, self.job.workers
        if workers is None:
            workers = min(MOST_WORKERS, (os.cpu_count() or 1) - 1) if device.type == "cuda" else 0
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
                "data": (*_start(card), seen),
            }
        )
        path = self.folder / ENCODER
        return save_checkpoint(path, self.method.encoder, changed)


def _start(card: EncoderCard) -> tuple[str, ...]:
    """Give what the weights have seen before, oldest first."""
    if card.method == "random":
        return (card.weights,)
    return card.data or (f"{card.method}: {card.weights}",)


def _plain(name: str) -> str:
    """Leave out the method of an earlier stage, which `data` keeps."""
    for method in METHODS:
        name = name.removesuffix(f"-{method}")
    return name


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
