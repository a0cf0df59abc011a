"""The page of a MIL run or evaluation: scores, curves, and slides with their attention."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from workflows.reporting.html import new_environment
from workflows.reporting.intervals import interval, p_value, signed
from workflows.reporting.lines import Axes, Line, draw_lines, round_end, swatch
from workflows.units import duration, plural

if TYPE_CHECKING:
    from models.mil.fit import Epoch
    from models.mil.judge import Predictions

SCORES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "macro_auroc": "AUROC, mean of classes",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
}
"""Names of scores for people."""

MOST_LISTED = 50
"""Bags of one kind that are listed by name."""


@dataclass(frozen=True)
class Picture:
    """One slide with its attention, as a data URL with its size in pixels."""

    slide_id: str
    url: str
    width: int
    height: int
    caption: str


@dataclass(frozen=True)
class MilPage:
    """What the page shows.

    Attributes:
        title: heading.
        place: folder or archives, below the heading.
        document: of the command.
        predictions: every scored bag once; None where nothing can be scored.
        own_folds: they are the test folds of the run itself.
        histories: epochs of every fold; none of an evaluation.
        pictures: slides with attention.
    """

    title: str
    place: str
    document: Mapping[str, Any]
    predictions: "Predictions | None" = None
    own_folds: bool = False
    histories: "Sequence[Sequence[Epoch]]" = ()
    pictures: Sequence[Picture] = field(default_factory=tuple)


def render_mil(page: MilPage, version: str) -> str:
    """Give the page as HTML; all is in one file, which asks the network for nothing."""
    document = page.document
    classes = document["classes"]
    shown = _shown(classes)
    return (
        new_environment(FILTERS)
        .get_template("mil.html.j2")
        .render(
            page=page,
            run=document,
            classes=classes,
            names=SCORES,
            shown=[(classes[number], swatch(number)) for number in shown],
            curves=[] if page.predictions is None else _curves(page.predictions, classes, shown),
            losses=_losses(page.histories) if page.histories else None,
            folds=[(number, swatch(number)) for number in range(len(page.histories))],
            most_listed=MOST_LISTED,
            version=version,
        )
    )


def _shown(classes: Sequence[str]) -> list[int]:
    """Classes that get a curve: of two one is enough, since the other mirrors it."""
    return [1] if len(classes) == 2 else list(range(len(classes)))


def _curves(
    found: "Predictions", classes: Sequence[str], shown: Sequence[int]
) -> list[tuple[str, Markup]]:
    """Heading and drawing of the ROC and the precision-recall curves."""
    from models.mil.curves import precision_recall_points, roc_points

    roc, precision = [], []
    for number in shown:
        positive, scores = found.labels == number, found.probabilities[:, number]
        if positive.all() or not positive.any():
            continue
        roc.append(Line(_pairs(roc_points(positive, scores)), number))
        precision.append(Line(_pairs(precision_recall_points(positive, scores)), number))
    share = float((found.labels == shown[0]).mean()) if len(shown) == 1 else None
    named = f" of {classes[shown[0]]}" if len(shown) == 1 else " of each class"
    return [
        (
            "ROC",
            draw_lines(
                roc,
                Axes(
                    f"ROC curve{named}",
                    "false positive rate",
                    "true positive rate",
                    diagonal=True,
                ),
            ),
        ),
        (
            "Precision and recall",
            draw_lines(
                precision,
                Axes(f"Precision-recall curve{named}", "recall", "precision", level=share),
            ),
        ),
    ]


def _pairs(points: "np.ndarray[Any, Any]") -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


def _losses(histories: "Sequence[Sequence[Epoch]]") -> Markup:
    """Loss over epochs: validation in full lines with the kept epoch, training faint."""
    lines = []
    for number, history in enumerate(histories):
        best = max((epoch for epoch in history if epoch.best), key=lambda epoch: epoch.epoch)
        train = [(float(epoch.epoch), epoch.train_loss) for epoch in history]
        validation = [(float(epoch.epoch), epoch.validation_loss) for epoch in history]
        lines += [
            Line(train, number, faint=True),
            Line(validation, number, mark=(float(best.epoch), best.validation_loss)),
        ]
    epochs = max(len(history) for history in histories) - 1
    values = [y for line in lines for _, y in line.points]
    # a run that diverges late must not press the rest flat
    top = min(max(values), 3 * float(np.median(values)) + 1e-6)
    ends = (0.0, round_end(max(1, epochs))), (0.0, round_end(top))
    axes = Axes("Loss over epochs", "epoch", "loss", x=ends[0], y=ends[1])
    return draw_lines(lines, axes)


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _shade(count: int, row: Sequence[int]) -> str:
    """Blue behind a cell of the confusion matrix, by its share of the row."""
    share = count / max(sum(row), 1)
    ink = "#fff" if share > 0.7 else "inherit"
    return f"background: rgb(0 114 178 / {0.75 * share:.2f}); color: {ink}"


FILTERS = {
    "interval": interval,
    "signed": signed,
    "number": _number,
    "p": p_value,
    "shade": _shade,
    "plural": plural,
    "duration": duration,
}
"""Numbers as a person reads them."""
