"""Train the two stages of METHODS 10: from a job to a network with its card."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from models.augment import open_preset
from models.dist import synchronize_batchnorm
from models.errors import DataError, LabelsError
from models.segmentation.backbone import Opened, open_trunk
from models.segmentation.card import TissueCard
from models.segmentation.choosing import Learned, open_judging, open_labelled, open_masked
from models.segmentation.classifier import Classification, Classifier, check_labels
from models.segmentation.gate import Gate
from models.segmentation.job import ClassifyJob, SegmentJob, TissueJob
from models.segmentation.judging import Judge, best_epoch, load_best, remove_best
from models.segmentation.model import TissueModel, save_model
from models.segmentation.network import SegmenterPlan, build_segmenter, load_encoder
from models.segmentation.places import model_file
from models.segmentation.predict import make_cam_masks, predict_classes
from models.segmentation.settings import CLASSIFY, SEGMENT, SEGMENT_PUBLISHED
from models.segmentation.stage2 import LAYER_WEIGHTS, SUPERVISED, LossSettings, Segmentation
from models.training.fabric import new_fabric, usual_workers
from models.training.feed import Feed, Sampling, Share
from models.training.loop import Habits, Line, Loop, Stop
from models.training.method import Learner
from models.training.session import Session
from models.training.settings import TrainSettings, fit_batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

OPEN = Gate(enabled=False)
VAL = "val"
"""Split that judges where no other is asked for; it need not be there."""

Tell = Callable[[Line], None]


@dataclass(frozen=True)
class _Stage:
    """One stage, ready to be trained.

    Attributes:
        learned: patches.
        learner: on the CPU.
        network: of the learner, which is kept.
        card: as far as it is known before.
        settings: usual ones, of the stage.
        preset: of the augmentation.
        predict: classes of pixels by the network and its card.
        notes: what a person should know.
    """

    learned: Learned
    learner: Learner
    network: nn.Module
    card: TissueCard
    settings: TrainSettings
    preset: str
    predict: Callable[[TissueModel, Tensor], Tensor]
    notes: list[str]


def classify(document: dict[str, Any], tell: Tell, stop: Stop) -> dict[str, Any]:
    """Train stage 1; what `workflows.training` calls here or on a worker.

    Args:
        document: of a `ClassifyJob`.
        tell: takes lines of progress and metrics, of rank 0 alone.
        stop: asks whether to stop; the state is then saved.

    Returns:
        JSON values: whether it `finished`, `step`, `steps`, `card`, `best`, the data.

    Raises:
        LabelsError: the patches have no labels, or none that teach anything.
        DataError: the patches do not fit.
        EncoderError: there is no such backbone.
        NumericsError: the loss became NaN.
    """
    job = ClassifyJob.of(document)
    fabric = new_fabric(job.device, job.precision)
    return _train(fabric, job, _first(job), tell, stop)


def segment(document: dict[str, Any], tell: Tell, stop: Stop) -> dict[str, Any]:
    """Train stage 2, or the same network on true masks; see `classify`.

    Args:
        document: of a `SegmentJob`.
        tell: takes lines.
        stop: asks whether to stop.

    Raises:
        LabelsError: the patches have no such masks.
    """
    job = SegmentJob.of(document)
    fabric = new_fabric(job.device, job.precision)
    return _train(fabric, job, _second(job), tell, stop)


def _first(job: ClassifyJob) -> _Stage:
    learned = open_labelled(job.archives, job.split)
    labels = learned.patches.labels
    known = torch.zeros(0) if labels is None else torch.from_numpy(np.asarray(labels))
    notes = check_labels(known, learned.classes)
    opened = open_trunk(job.backbone, job.weights, output_stride=job.output_stride)
    network = Classifier(opened.trunk, len(learned.classes), seed=job.seed)
    card = _card(job, learned, _of_trunk(opened) | {"white": job.white})
    learner = Classification(network, job.pda)
    return _Stage(learned, learner, network, card, CLASSIFY, "wsss-cls", make_cam_masks, notes)


def _second(job: SegmentJob) -> _Stage:
    learned, layers = open_masked(job.archives, job.split, job.masks)
    if not learned.classes:
        raise LabelsError(
            f"{', '.join(job.archives)}: nothing names the classes of the masks; import the "
            "patches with --classes"
        )
    plan = SegmenterPlan(job.architecture, job.encoder, job.options)
    network = build_segmenter(plan, len(learned.classes), seed=job.seed)
    seen: tuple[str, ...] = ("drawn weights",)
    if job.encoder_weights is not None:
        name, sha256, before = load_encoder(network, job.encoder_weights)
        seen = (*before, f"encoder from {name} ({sha256[:12]})")
    loss = LossSettings(_weights(job, layers), job.background, job.divide_by_batch)
    about = {
        "role": "segmenter",
        "architecture": job.architecture.lower(),
        "encoder": job.encoder,
        "options": dict(job.options),
        "white": learned.white if job.white is None else job.white,
        "data": seen,
    }
    learner = Segmentation(network, len(learned.classes), loss)
    usual = SEGMENT_PUBLISHED if job.divide_by_batch else SEGMENT
    card = _card(job, learned, about)
    return _Stage(learned, learner, network, card, usual, "wsss-seg", _answer, [])


def _weights(job: SegmentJob, layers: tuple[str, ...]) -> tuple[float, ...]:
    usual = {1: SUPERVISED.weights, len(LAYER_WEIGHTS): LAYER_WEIGHTS}
    weights = job.weights_of_masks or usual.get(len(layers), ())
    if len(weights) != len(layers):
        raise DataError(
            f"{len(layers)} arrays of masks ({', '.join(layers)}) need a weight each, got {weights}"
        )
    return weights


def _answer(model: TissueModel, pixels: Tensor) -> Tensor:
    return predict_classes(model, pixels, gate=OPEN)


def _of_trunk(opened: Opened) -> dict[str, Any]:
    return {
        "role": "classifier",
        "architecture": opened.architecture,
        "options": dict(opened.options),
        "mean": opened.mean,
        "std": opened.std,
        "data": (opened.weights,),
    }


def _card(job: TissueJob, learned: Learned, about: Mapping[str, Any]) -> TissueCard:
    usual = {
        "name": job.name or f"{about['architecture'].rpartition(':')[2]}-{about['role']}",
        "classes": learned.classes,
        "patch_px": learned.patches.patch_shape[0],
        "mpp": learned.mpp,
    }
    return TissueCard(**usual | dict(about))


def _train(
    fabric: "Fabric", job: TissueJob, stage: _Stage, tell: Tell, stop: Stop
) -> dict[str, Any]:
    folder, learned = Path(job.folder), stage.learned
    patches = len(learned.patches)
    asked = replace(stage.settings, **job.training)
    settings, notes = fit_batch(asked, patches, fabric.world_size * asked.accumulate)
    synchronize_batchnorm(stage.learner, fabric.device)
    session = Session(folder, tell)
    judge = _judge(job, stage)
    loop = Loop(
        fabric,
        stage.learner.train(),
        _feed(fabric, job, stage, settings),
        settings,
        Habits(
            folder, job.identity, job.seed, job.log_steps, job.save_seconds, stop_on_collapse=False
        ),
        tell=session.write,
        judge=judge,
    )
    if loop.step == 0 and fabric.is_global_zero:
        remove_best(folder)
    if learned.mpp is None and any(slide.mpp for slide in learned.patches.slides):
        notes.append("patches differ in microns per pixel, so the network's card says none")
    if judge is None and job.val_epochs:
        notes.append(f"no slide of the split {job.val_split} has true masks: no epoch is judged")
    found = session.run(loop, learned.document(), [*stage.notes, *notes], stop)
    card = None
    if found["finished"] and fabric.is_global_zero:
        card = _finish(job, stage, settings)
    fabric.barrier()
    return found | {
        "card": None if card is None else card.model_dump(mode="json"),
        "best": best_epoch(folder),
        "data": learned.document(),
    }


def _feed(fabric: "Fabric", job: TissueJob, stage: _Stage, settings: TrainSettings) -> Feed:
    patches, card = stage.learned.patches, stage.card
    preset = open_preset(
        stage.preset, side_px=card.patch_px, mean=card.mean, std=card.std, d4=False
    )
    sampling = Sampling(
        np.arange(len(patches), dtype=np.int64), patches.slide_of, settings.batch, seed=job.seed
    )
    share = Share(fabric.global_rank, fabric.world_size, settings.accumulate)
    workers = usual_workers(fabric.device) if job.workers is None else job.workers
    return Feed(patches, sampling, preset, share, fabric.device, workers)


def _judge(job: TissueJob, stage: _Stage) -> Judge | None:
    learned = open_judging(job.archives, job.val_split) if job.val_epochs else None
    if learned is None and job.val_epochs and job.val_split != VAL:
        raise DataError(f"no slide with true masks is of the split {job.val_split!r} (--val-split)")
    if learned is None:
        return None
    stage.card.require_classes(learned.classes, f"the split {job.val_split}")
    stage.card.require_mpp(learned.mpp)

    def predict(network: nn.Module, pixels: Tensor) -> Tensor:
        return stage.predict(TissueModel(network, stage.card).to(pixels.device), pixels)

    keeps = job.keep == "best"
    return Judge(learned, predict, Path(job.folder), keeps, job.val_epochs)


def _finish(job: TissueJob, stage: _Stage, settings: TrainSettings) -> TissueCard:
    """Write the network; states stay until the run's record is written."""
    folder, told = Path(job.folder), stage.learned.document()
    best = best_epoch(folder) if job.keep == "best" else None
    if best is not None:
        load_best(stage.network, folder)
    of = settings.epochs if best is None else f"{best['epoch'] + 1} (best) of {settings.epochs}"
    archives = ", ".join(Path(archive).name for archive in job.archives)
    seen = (
        f"{stage.card.role}: {told['patches']:,} patches of {told['slides']:,} slides "
        f"({archives}), {of} epochs, batch {settings.batch}, seed {job.seed}"
    )
    card = stage.card.model_copy(update={"data": (*stage.card.data, seen)})
    return save_model(folder / model_file(card.role), stage.network, card)
