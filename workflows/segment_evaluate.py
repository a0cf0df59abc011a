"""`microtome segment evaluate`: score a segmenter or classifier on patches with true masks."""

import time
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from workflows.config import POSITIONAL, WorkflowConfig
from workflows.extras import needs
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback, Update

if TYPE_CHECKING:
    from workflows.segmenting.gallery import Shown
    from workflows.segmenting.scoring import Counted
    from workflows.segmenting.stages import Opened
    from workflows.segmenting.truth import Truth


class SegmentEvaluateConfig(WorkflowConfig):
    """Score a model of tissue on patches with true masks.

    Pixels whose truth is background are left out, as published; scores with background are given
    beside them where white counts as background. A classifier is scored by its activation maps.
    """

    archives: Annotated[tuple[str, ...], POSITIONAL] = Field(min_length=1)
    """Archives of patches with true masks, as `microtome import patches` writes them."""
    model: str
    """Segmenter, or classifier alone: a file, or the folder of a run."""
    classifier: str | None = None
    """Classifier of the segmenter's gate: a file or folder; by default the one beside it."""
    gate: bool | None = None
    """Also score with the gate; by default where there is a classifier."""
    gate_on: Literal["probabilities", "logits"] = "probabilities"
    """What the gate removes classes from; logits is the published code, in which they may win."""
    gate_epsilon: float = Field(default=0.1, ge=0, lt=1)
    """Probability of a class in the patch up to which the gate removes it."""
    cam: bool = False
    """Also score the activation maps of a segmenter's classifier; a classifier alone always is."""
    split: str | None = None
    """Score slides of this split of the manifest alone, such as test."""
    out: str | None = None
    """Folder for scores.json, confusion.csv, report.html and patches.png; nothing is written
    without."""
    device: str = "auto"
    """auto, cpu, cuda, or cuda:1."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Of the networks; auto is bf16 on GPUs that have it, else float32."""
    batch: int = Field(default=16, ge=1)
    """Patches at a time."""
    force: bool = False
    """Score patches of another resolution or size than the model's, too."""
    seed: int = Field(default=1337, ge=0)
    """Of the resamples, and of the patches that are shown."""
    resamples: int = Field(default=1000, ge=1, le=1_000_000)
    """Bootstrap resamples of patients behind each interval."""
    pictures: int = Field(default=8, ge=0)
    """Patches that the report shows."""


def run(config: SegmentEvaluateConfig, progress: ProgressCallback) -> Outcome:
    """Predict batch by batch, count pixels by patient, and score.

    Raises:
        UsageError: an option makes no sense, or there is no such split.
        WeightsError: a model is missing, damaged or of another kind.
        MismatchError: classes, resolution or size of patches are not the model's.
        LabelsError: there are no masks, or they hold other classes.
        DataError: masks are of another size than their patches.
        StoreError: there is no archive.
    """
    started = time.monotonic()
    with needs("models"):
        from models.segmentation.gate import Gate
        from workflows.segmenting.evaluation import about, evaluation_document, write_evaluation
        from workflows.segmenting.stages import Asked, open_stages
        from workflows.segmenting.truth import open_truth, with_split
    rule = Gate(on=config.gate_on, epsilon=config.gate_epsilon)
    opened = open_stages(Asked(config.model, config.classifier, config.gate, config.cam, rule))
    cards = [model.card for model in opened.stages.models]
    truths = [
        open_truth(place, cards, split=config.split, force=config.force)
        for place in with_split(config.archives, config.split)
    ]
    counted, shown, device = _score(config, opened, truths, _Told(progress, truths, started))
    document = {
        **about(opened, truths, counted, split=config.split),
        **evaluation_document(counted, config.seed, config.resamples),
        **device,
        "batch": config.batch,
        "seconds": round(time.monotonic() - started, 3),
    }
    document["files"] = {}
    if config.out is not None:
        document["files"] = write_evaluation(config.out, document, shown)
    return Outcome(document)


class _Told:
    """Tells how many patches are done."""

    def __init__(self, callback: ProgressCallback, truths: "list[Truth]", started: float) -> None:
        self._callback, self._started = callback, started
        self._total, self._done = sum(map(len, truths)), 0

    def __call__(self, patches: int) -> None:
        self._done += patches
        elapsed = time.monotonic() - self._started
        self._callback(Update(self._total, self._done, elapsed_s=elapsed, noun="patches"))


def _score(
    config: SegmentEvaluateConfig, opened: "Opened", truths: "list[Truth]", advance: _Told
) -> "tuple[Counted, list[Shown], dict[str, str]]":
    """Count all archives; gives counts, patches to show, and what it ran on."""
    from models.errors import LabelsError
    from models.mil.device import choose_device
    from models.segmentation.evaluating import Evaluator, choose_bf16
    from workflows.segmenting.gallery import Gallery
    from workflows.segmenting.scoring import Scorer

    device = choose_device(config.device)
    bf16 = choose_bf16(config.precision, device)
    evaluator = Evaluator(opened.stages, device, bf16=bf16)
    for side in sorted({truth.side_px for truth in truths}):
        evaluator.require_side(side)
    gallery = Gallery(config.pictures, len(opened.card.classes), config.seed)
    scorer = Scorer(evaluator, gallery, batch=config.batch, advance=advance)
    for truth in truths:
        scorer.add(truth)
    if not scorer.counted.patches:
        raise LabelsError(
            f"none of the {scorer.counted.without_mask:,} patches of {', '.join(config.archives)} "
            "has a mask: all pixels are 255; import them with their masks"
        )
    ran = {"device": str(device), "precision": "bf16" if bf16 else "float32"}
    return scorer.counted, gallery.chosen(), ran
