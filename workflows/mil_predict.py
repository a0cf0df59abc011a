"""`microtome mil predict`: probabilities of slides, and the attention of their patches as maps."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from workflows.beside import write_file
from workflows.config import POSITIONAL, WorkflowConfig
from workflows.extras import needs
from workflows.mil.folder import BagCounter, predictions_csv
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback

if TYPE_CHECKING:
    from models.mil.cohort import MilBag
    from models.mil.predict import Prediction
    from workflows.mil.trained import Trained


class MilPredictConfig(WorkflowConfig):
    """Predict slides or patients by the mean of a run's models; no labels are needed.

    With --maps the attention of every patch is stored in the archive, as maps/attention-<run>.
    """

    run: Annotated[str, POSITIONAL]
    """Folder of a run of `microtome mil train`."""
    archives: Annotated[tuple[str, ...], POSITIONAL] = Field(min_length=1)
    """Archives with embeddings of the run's encoder."""
    maps: bool = False
    """Store the attention of each slide's patches as a map in its archive."""
    overwrite: bool = False
    """Replace maps of the same name that another run has stored."""
    out: str | None = None
    """CSV file of the predictions."""
    report: str | None = None
    """HTML page with the slides' attention."""
    pictures: int = Field(default=20, ge=0)
    """Slides that the page shows."""
    device: str = "auto"
    """auto, cpu, cuda, or cuda:1."""


def run(config: MilPredictConfig, progress: ProgressCallback) -> Outcome:
    """Predict every bag, and store maps where asked.

    Raises:
        UsageError: there is no such run.
        BagError: slides lack the embeddings of the run's encoder.
        WeightsError: a model is missing or damaged.
        ConflictError: another run has stored maps of this name.
        StoreError: a map cannot be written.
    """
    started = time.monotonic()
    with needs("models"):
        from models.mil.cohort import Labels
        from workflows.mil.attention import AttentionWriter
        from workflows.mil.scores import prediction_row
        from workflows.mil.scoring import leak_notes
        from workflows.mil.trained import Trained
    trained = Trained.load(config.run, config.device)
    bags = trained.bags(config.archives, None, Labels({}, {}, {}))
    writer = AttentionWriter(trained, overwrite=config.overwrite)
    if config.maps:
        writer.require_free(bags.unlabelled)
    counter = BagCounter(progress, started)
    rows, pairs = [], []
    for bag, found in zip(bags.unlabelled, trained.predict(bags.unlabelled), strict=True):
        rows.append(prediction_row(bag, trained.classes, found.probabilities, "mean"))
        if config.maps:
            writer.write(bag, found)
        if config.report is not None:
            pairs.append((bag, found))
        counter.add(len(bags.unlabelled))
    rows += [prediction_row(bag, trained.classes, None, "") for bag in bags.empty]
    document = _document(config, trained, rows, leak_notes(trained, bags.unlabelled))
    document |= {"map": writer.name if config.maps else None, "maps": writer.written}
    document["bags"] = replace(bags, usable=bags.unlabelled, unlabelled=()).document()
    document["seconds"] = round(time.monotonic() - started, 3)
    document["files"] = _write(config, document, pairs)
    return Outcome(document)


def _document(
    config: MilPredictConfig, trained: "Trained", rows: list[dict[str, Any]], notes: list[str]
) -> dict[str, Any]:
    kept = (
        "model",
        "fit",
        "dim",
        "classes",
        "encoder",
        "unit",
        "versions",
        "device",
        "seed",
        "name",
    )
    known = {name: trained.record[name] for name in kept}
    return known | {
        "folder": config.run,
        "archives": list(config.archives),
        "notes": notes,
        "predictions": rows,
        "scores": None,
        "comparison": None,
    }


def _write(
    config: MilPredictConfig,
    document: dict[str, Any],
    pairs: "list[tuple[MilBag, Prediction]]",
) -> dict[str, str]:
    from workflows.mil.report import draw_pictures, render_evaluation

    files = {}
    if config.out is not None:
        table = predictions_csv(document["classes"], document["predictions"])
        files["table"] = write_file(config.out, table.encode())
    if config.report is not None:
        pictures = draw_pictures(pairs, document["classes"], config.pictures)
        place = ", ".join(config.archives)
        title = f"Predictions of {document['name']}"
        page = render_evaluation(title, place, document, None, pictures)
        files["report"] = write_file(config.report, page.encode())
    return files
