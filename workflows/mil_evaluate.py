"""`microtome mil evaluate`: score a run, on its own test folds or on another cohort."""

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from workflows.beside import write_file
from workflows.config import POSITIONAL, WorkflowConfig
from workflows.errors import UsageError
from workflows.extras import needs
from workflows.mil.folder import PREDICTIONS, REPORT, BagCounter, predictions_csv
from workflows.mil.labels import read_labels
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback

if TYPE_CHECKING:
    from workflows.mil.scoring import Scored

EVALUATION = "evaluation.json"


class MilEvaluateConfig(WorkflowConfig):
    """Score trained slide classifiers.

    With archives, each of their bags is predicted by the models of all folds. Without, the run's
    own predictions are scored again, each by the model that has not seen its patient.
    """

    run: Annotated[str, POSITIONAL]
    """Folder of a run of `microtome mil train`."""
    archives: Annotated[tuple[str, ...], POSITIONAL] = ()
    """Archives of another cohort, with embeddings of the same encoder."""
    against: str | None = None
    """Folder of another run to compare with, on the same bags."""
    label: str | None = None
    """Name of the label, where it is another than in training."""
    labels: str | None = None
    """CSV file with the columns slide_id or patient, and the label; by default the archives'."""
    out: str | None = None
    """Folder for evaluation.json, predictions.csv and report.html; nothing is written without."""
    device: str = "auto"
    """auto, cpu, cuda, or cuda:1."""
    resamples: int = Field(default=1000, ge=1)
    """Bootstrap resamples of patients behind each interval."""
    seed: int = Field(default=1337, ge=0)
    """Of the resamples."""
    pictures: int = Field(default=4, ge=0)
    """Slides that the report shows with their attention."""


def run(config: MilEvaluateConfig, progress: ProgressCallback) -> Outcome:
    """Predict where archives are given, then score and compare.

    Raises:
        UsageError: there is no such run, or an option makes no sense.
        BagError: slides lack the embeddings of the run's encoder.
        LabelsError: labels are missing or unknown, or the runs cannot be compared.
        WeightsError: a model is missing or damaged.
    """
    started = time.monotonic()
    if not config.archives and (config.label or config.labels):
        raise UsageError("--label and --labels are of archives; name some after the run")
    with needs("models"):
        from workflows.mil.scores import scores_document
        from workflows.mil.scoring import compare_runs
    first = _scored(config, config.run, progress, started)
    document = _about(config, first)
    document["scores"] = scores_document(first.mean, first.folds, config.seed, config.resamples)
    if config.against is not None:
        second = _scored(config, config.against, progress, started)
        known = second.record
        document["against"] = {
            "folder": config.against,
            "name": known["name"],
            "model": known["model"]["name"],
            "encoder": known["encoder"],
        }
        document["comparison"] = compare_runs(
            first, second, seed=config.seed, resamples=config.resamples
        )
    document["seconds"] = round(time.monotonic() - started, 3)
    document["files"] = {} if config.out is None else _write(config, config.out, document, first)
    return Outcome(document)


def _scored(
    config: MilEvaluateConfig, place: str, progress: ProgressCallback, started: float
) -> "Scored":
    from workflows.mil.scoring import other_cohort, own_folds
    from workflows.mil.trained import Trained

    if not config.archives:
        return own_folds(place)
    trained = Trained.load(place, config.device)
    column = config.label or trained.record["label"]
    labels = None if config.labels is None else read_labels(config.labels, column)
    counter = BagCounter(progress, started)
    return other_cohort(trained, config.archives, config.label, labels, counter.add)


def _about(config: MilEvaluateConfig, found: "Scored") -> dict[str, Any]:
    kept = ("model", "fit", "dim", "classes", "encoder", "unit", "versions", "device")
    known = {name: found.record[name] for name in kept}
    return known | {
        "folder": config.run,
        "name": found.record["name"],
        "archives": list(config.archives),
        "bags": found.bags,
        "seed": config.seed,
        "notes": list(found.notes),
        "against": None,
        "comparison": None,
    }


def _write(
    config: MilEvaluateConfig, out: str, document: dict[str, Any], found: "Scored"
) -> dict[str, str]:
    from workflows.mil.report import draw_pictures, render_evaluation

    place = ", ".join(config.archives) or f"the test folds of {config.run}"
    pictures = draw_pictures(found.pairs, document["classes"], config.pictures)
    page = render_evaluation(
        f"Evaluation of {document['name']}", place, document, found.mean, pictures
    )
    root = out.rstrip("/")
    files = {"report": write_file(f"{root}/{REPORT}", page.encode())}
    if found.rows:
        table = predictions_csv(document["classes"], found.rows)
        files["table"] = write_file(f"{root}/{PREDICTIONS}", table.encode())
    text = json.dumps(document, indent=1) + "\n"
    files["scores"] = write_file(f"{root}/{EVALUATION}", text.encode())
    return files
