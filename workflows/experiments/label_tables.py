"""Tables and drawings of the label-efficiency experiment."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from workflows.experiments.cells import Document
from workflows.experiments.outputs import class_table
from workflows.experiments.published import LABEL_EFFICIENCY
from workflows.experiments.words import (
    METRIC_NAMES,
    NONE,
    deviating,
    differing,
    is_sure,
    percent,
    ranged,
    spanning,
)
from workflows.reporting.experiments import Figure, Table
from workflows.reporting.label_curves import Point, curves, swatch
from workflows.units import duration, plural

DRAWN = ("accuracy", "balanced_accuracy", "macro_auroc")

LOSS_WAY = "Loss: lower is better. "


def main_tables(document: Document) -> list[Table]:
    """Tables that are written as Markdown: the paper's, ours with intervals, and differences."""
    tested = document["split"]["test"]
    people = f"{plural(tested['patches'], 'patch')} of {plural(tested['patients'], 'patient')}"
    interval = (
        f"Mean over seeds with its 95 % interval over the test set's {people}, ± deviation over "
        "seeds."
    )
    return [
        _by_method(
            document,
            "Test loss / accuracy in %",
            f"Mean ± standard deviation over seeds; tested on {people}.",
            _paper_cell,
        ),
        *(
            _by_method(document, METRIC_NAMES[name], interval, _interval_cell(name))
            for name in ("balanced_accuracy", "macro_auroc")
        ),
        _differences(document),
    ]


def further_tables(document: Document) -> list[Table]:
    """Tables that only the page has: shares, what the paper printed, and every cell."""
    return [_shares(document), _published(), class_table(document), _cells(document)]


def figure(document: Document) -> Figure:
    """Draw scores over the share of the labels, with their intervals."""
    drawings = []
    for name in DRAWN:
        series = []
        for number, method in enumerate(document["methods"]):
            points = [
                Point(line["fraction"], *(line["scores"][name][end] for end in END))
                for line in document["settings"]
                if line["method"] == method and line["scores"].get(name)
            ]
            if points:
                series.append((number, points))
        title = f"{METRIC_NAMES[name]} over the share of the labels"
        level = document["most_frequent"][name]
        drawings.append((METRIC_NAMES[name], curves(series, title=title, chance=level)))
    return Figure(
        "Scores over the share of the labels",
        "Mean over seeds; bars are 95 % intervals over patients. Broken line: the most frequent "
        f"class for every patch ({document['most_frequent']['class']}), and 0.5 for AUROC.",
        [(method, swatch(number)) for number, method in enumerate(document["methods"])],
        drawings,
    )


END = ("value", "low", "high")

Line = Mapping[str, Any]
Write = Callable[[Mapping[str, Any]], str]
"""Writes the scores of a setting into a cell of a table."""


def csv_rows(document: Document) -> Iterator[Sequence[Any]]:
    """Give the rows of `table.csv`, its header first."""
    yield ("method", "fraction", "metric", "seeds", "mean", "sd", "low", "high", "leaky")
    leaky = bool(document["leaky"])
    for line in document["settings"]:
        for name, found in line["scores"].items():
            values = [found[end] for end in ("value", "sd", "low", "high")] if found else [None] * 4
            yield (line["method"], line["fraction"], name, len(line["seeds"]), *values, leaky)


def _by_method(document: Document, heading: str, remark: str, write: Write) -> Table:
    """One row per method and one column per share."""
    lines = {(line["method"], line["fraction"]): line for line in document["settings"]}
    shares, seeds = document["fractions"], len(document["seeds"])
    rows = [
        [method, *(_seen(lines.get((method, share)), write, seeds) for share in shares)]
        for method in document["methods"]
    ]
    return Table(heading, remark, ["", *map(percent, shares)], rows)


def _seen(line: Line | None, write: Any, seeds: int) -> str:
    """Write a cell, and of how many seeds it is where some are missing."""
    if line is None:
        return NONE
    if not line["seeds"]:
        return "failed"
    told = write(line["scores"])
    return (
        told if len(line["seeds"]) == seeds else f"{told} ({len(line['seeds'])} of {seeds} seeds)"
    )


def _paper_cell(scores: Mapping[str, Any]) -> str:
    return f"{deviating(scores['loss'])} / {deviating(scores['accuracy'], 1, 100)}"


def _interval_cell(name: str) -> Write:
    return lambda scores: spanning(scores[name])


def _differences(document: Document) -> Table:
    rows, sure = [], set()
    for y, line in enumerate(document["comparisons"]):
        scores = line["scores"]
        found = [scores[name] for name in METRIC_NAMES]
        sure |= {(y, 2 + x) for x, one in enumerate(found) if is_sure(one)}
        rows.append([line["first"], percent(line["fraction"]), *map(differing, found)])
    return Table(
        "Differences to the supervised baseline",
        f"{LOSS_WAY}The method minus supervised on the same rows and the same resamples of "
        "patients, mean over seeds with its 95 % interval, ± deviation over seeds. Bold: the "
        "interval does not hold zero. Many comparisons are made, so one alone proves little.",
        ["Method", "Labels", *METRIC_NAMES.values()],
        rows,
        words=2,
        sure=frozenset(sure),
    )


def _shares(document: Document) -> Table:
    rows = []
    for share in document["fractions"]:
        lines = [line for line in document["settings"] if line["fraction"] == share]
        known = [line for line in lines if line["seeds"]]
        if known:
            train = known[0]["train"]
            untaught = ", ".join(known[0]["untaught"]) or NONE
            counts = [ranged(train["patches"]), ranged(train["patients"])]
            rows.append([percent(share), untaught, *counts])
    return Table(
        "Shares of the labels",
        "What teaches, over all seeds. A smaller share is part of every larger one of its seed; "
        f"shares are made of whole {document['config']['fraction_unit']}s, of every class alike.",
        ["Labels", "Classes that some seed lacks", "Patches", "Patients"],
        rows,
        words=2,
    )


def _published() -> Table:
    shares = (0.05, 0.25, 0.5, 1.0)
    rows = [
        [name, *(_printed(found.get(share)) for share in shares)]
        for name, found in LABEL_EFFICIENCY.items()
    ]
    return Table(
        "What the paper printed: another data set, not comparable",
        "Test loss / accuracy in %, Y.-J. Kim and M.-G. Cho: 24,613 private breast-biopsy patches "
        "of 21 slides, three classes, ResNet-50 from ImageNet, 100 epochs, one run each. Their "
        "split may have patches of one slide on both sides; ours is by patient. simclr+organ is "
        "their SimCLR + kidney; three digits of that row are hard to read in print.",
        ["", *map(percent, shares)],
        rows,
    )


def _printed(found: tuple[float, float] | None) -> str:
    return NONE if found is None else f"{found[0]:.4g} / {found[1]:.2f}"


def _cells(document: Document) -> Table:
    rows = [
        [
            line["method"],
            percent(line["fraction"]),
            f"{line['seed']}",
            f"{line['train']['patches']:,}",
            f"{line['kept_epoch'] + 1} of {line['epochs']}",
            *(
                NONE if line["scores"][name] is None else f"{line['scores'][name]:.3f}"
                for name in METRIC_NAMES
            ),
            duration(line["pretext_seconds"]) if line["pretext_seconds"] else NONE,
            duration(line["seconds"]),
        ]
        for line in document["cells"]
    ]
    head = ["Method", "Labels", "Seed", "Patches", "Kept epoch", *METRIC_NAMES.values()]
    return Table(
        "All cells",
        "One training each. The time is that of the last run that worked on it.",
        [*head, "Pretraining", "Time"],
        rows,
        words=2,
    )
