"""`microtome segment pseudo-masks`: from patch labels and a classifier to masks to learn from."""

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from workflows.config import POSITIONAL, WorkflowConfig
from workflows.errors import UsageError
from workflows.extras import needs
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback, Update
from workflows.segmenting.config import MasksName

if TYPE_CHECKING:
    from models.segmentation.pseudo_run import SlideMasks


class SegmentPseudoMasksConfig(WorkflowConfig):
    """Make masks of patches from their labels and a classifier's activation maps.

    One array per layer is stored beside the patches: NAME_<layer>, the last layer is the most
    trusted. Slides that have these masks are skipped, so the same command goes on after a stop.
    """

    archives: Annotated[tuple[str, ...], POSITIONAL] = Field(min_length=1)
    """Archives of patches with labels."""
    model: str
    """Classifier of `microtome segment classify`: its file, or the folder of its run."""
    name: MasksName = "pseudo"
    """Name of the masks: letters, digits and -; not masks, which are the true ones."""
    split: str | None = None
    """Slides of this split; by default train, or all where there is no such split."""
    png: str | None = None
    """Folder to write the masks to as pictures too, PM_<layer>/<slide>_<number>.png."""
    device: str = "auto"
    """auto, cpu, cuda, or cuda:1."""
    batch: int = Field(default=20, ge=1)
    """Patches at a time."""
    force: bool = False
    """Take patches of another resolution than the classifier's, too."""
    overwrite: bool = False
    """Replace masks of the same name that another classifier has made."""


def run(config: SegmentPseudoMasksConfig, progress: ProgressCallback) -> Outcome:
    """Make the masks of every slide that lacks them.

    Raises:
        WeightsError: there is no such classifier.
        LabelsError: the patches have no labels.
        MismatchError: the classifier knows other classes, or wants another resolution.
        ConflictError: another classifier has made masks of this name.
    """
    started = time.monotonic()
    with needs("models"):
        from models.mil.device import choose_device
        from models.segmentation.model import open_model
        from models.segmentation.places import find_model
        from models.segmentation.pseudo_run import PseudoMasker, PseudoRequest
        from workflows.segmenting.pictures import write_layers
    classifier = open_model(find_model(config.model, "classifier"), "classifier")
    classifier = classifier.to(choose_device(config.device))
    passed = ("archives", "name", "split", "batch", "force", "overwrite")
    masker = PseudoMasker(classifier, PseudoRequest(**{n: getattr(config, n) for n in passed}))
    planned = masker.plan()
    if config.png is not None:
        _require_names(config.png, [store.slide_id for _, store in planned])
    counter = _Counter(progress, started, len(planned), sum(len(store) for _, store in planned))
    made = []
    for archive, store in planned:
        made.append(masker.make(archive, store, counter.add))
        if config.png is not None:
            write_layers(store, masker.arrays, classifier.card, config.png)
        counter.end_slide()
    document = _document(config, made, time.monotonic() - started)
    document |= {"arrays": list(masker.arrays), "notes": masker.notes}
    return Outcome(document | {"classes": list(classifier.card.classes)})


def _require_names(png: str, slides: list[str]) -> None:
    """Refuse a folder that is none, and slides whose pictures would have one name."""
    if "://" in png:
        raise UsageError(f"--png is a folder of this machine, got {png}")
    twice = sorted({slide for slide in slides if slides.count(slide) > 1})
    if twice:
        raise UsageError(f"--png: {twice[0]} is in two archives; write pictures of one at a time")


class _Counter:
    """Turns batches into progress."""

    def __init__(self, progress: ProgressCallback, started: float, *totals: int) -> None:
        self._progress, self._started, self._totals = progress, started, totals
        self._slides = self._patches = 0

    def add(self, patches: int) -> None:
        """Count patches."""
        self._patches += patches
        self._tell()

    def end_slide(self) -> None:
        """Count a slide."""
        self._slides += 1
        self._tell()

    def _tell(self) -> None:
        slides, patches = self._totals
        self._progress(
            Update(
                slides,
                self._slides,
                patches_total=patches,
                patches_done=self._patches,
                elapsed_s=time.monotonic() - self._started,
            )
        )


def _document(
    config: SegmentPseudoMasksConfig, made: "list[SlideMasks]", seconds: float
) -> dict[str, Any]:
    new = [one for one in made if not one.skipped]
    pixels = [sum(numbers) for numbers in zip(*(one.pixels for one in new), strict=True)]
    total = sum(pixels)
    return {
        "name": config.name,
        "model": config.model,
        "slides": [asdict(one) for one in made],
        "patches": sum(one.patches for one in made),
        "skipped": len(made) - len(new),
        "empty": sum(one.empty for one in new),
        "shares": [count / total for count in pixels] if total else [],
        "png": config.png,
        "wall_seconds": round(seconds, 3),
    }
