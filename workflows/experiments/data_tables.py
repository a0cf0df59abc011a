"""Tables and drawings of the data-efficiency experiment."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workflows.experiments.cells import Document
from workflows.experiments.data_rows import KINDS
from workflows.experiments.words import (
    METRIC_NAMES,
    NONE,
    differing,
    is_sure,
    percent,
    ranged,
    spanning,
)
from workflows.reporting.experiments import Figure, Table
from workflows.reporting.forest import Dot, forest
from workflows.reporting.label_curves import swatch
from workflows.units import duration, plural

JUDGES = {"knn": "kNN", "linear": "linear probe", "mil": "MIL"}
SHOWN = ("balanced_accuracy", "macro_auroc")
COMPARED = ("accuracy", *SHOWN)
GROUPS = {
    "baseline": "baseline",
    "published": "published weights",
    "data": "less data",
    "layer": "other layers",
    "strategy": "sampling strategies",
}
"""What rows of a kind vary."""

Line = Mapping[str, Any]


def main_tables(document: Document) -> list[Table]:
    """Tables that are written as Markdown: the 13 rows, and differences to the first."""
    return [_rows(document), *(_differences(document, judge) for judge in document["judges"])]


def figure(document: Document) -> Figure:
    """Draw the balanced accuracy of every row, with its interval."""
    drawings = []
    for judge in document["judges"]:
        dots = [_dot(line, judge) for line in document["rows"]]
        title = f"Balanced accuracy of every row, {JUDGES[judge]}"
        drawn = forest(dots, title=title, below="balanced accuracy", level=dots[0].value)
        drawings.append((JUDGES[judge], drawn))
    used = {line["kind"] for line in document["rows"]}
    return Figure(
        "Balanced accuracy",
        "Mean over seeds; bars are 95 % intervals over patients. Broken line: the first row.",
        [(GROUPS[kind], swatch(number)) for number, kind in enumerate(KINDS) if kind in used],
        drawings,
    )


def csv_rows(document: Document) -> Iterator[Sequence[Any]]:
    """Give the rows of `table.csv`, its header first."""
    about = ("row", "name", "method", "fraction", "layer", "judge", "metric", "seeds")
    yield (*about, "mean", "sd", "low", "high", "pretraining_s", "leaky")
    leaky = bool(document["leaky"])
    for line in document["rows"]:
        spent = line["pretraining"] and line["pretraining"]["seconds"]
        what = [line[name] for name in ("number", "name", "method", "fraction", "layer")]
        for judge, scores in line["scores"].items():
            for name, found in scores.items():
                values = [found[end] for end in ENDS] if found else [None] * len(ENDS)
                yield (*what, judge, name, len(line["seeds"]), *values, spent, leaky)


ENDS = ("value", "sd", "low", "high")


def _dot(line: Line, judge: str) -> Dot:
    found = (line["scores"].get(judge) or {}).get("balanced_accuracy")
    ends = [found[end] for end in ("value", "low", "high")] if found else [None] * 3
    return Dot(f"{line['number']} {line['name']}", KINDS.index(line["kind"]), *ends)


def _rows(document: Document) -> Table:
    tested = document["split"]["test"]
    people = f"{plural(tested['patches'], 'patch')} of {plural(tested['patients'], 'patient')}"
    heads = [
        f"{METRIC_NAMES[name]}, {JUDGES[judge]}" for judge in document["judges"] for name in SHOWN
    ]
    return Table(
        f"{len(document['rows'])} rows",
        f"Mean over seeds with its 95 % interval over the test set's {people}, ± deviation over "
        "seeds. Data: patches that pretraining saw. Time: of pretraining, and its share of the "
        f"first row's.{_layers(document)}",
        ["Row", "Encoder", "Data", "Dimensions", *heads, "Time", "Share"],
        [_row(document, line) for line in document["rows"]],
        words=2,
    )


def _layers(document: Document) -> str:
    """Say which rows share the first row's network."""
    lines = [line for line in document["rows"] if line["kind"] == "layer"]
    if not lines:
        return ""
    told = f" Rows {lines[0]['number']} to {lines[-1]['number']} read the first row's network"
    again = [line["number"] for line in lines if line["layer"] == "stage4"]
    repeats = f"; stage4 is its usual output, so row {again[0]} repeats row 1" if again else ""
    return f"{told}{repeats}."


def _row(document: Document, line: Line) -> list[str]:
    columns = len(document["judges"]) * len(SHOWN)
    scores = [
        spanning((line["scores"].get(judge) or {}).get(name))
        for judge in document["judges"]
        for name in SHOWN
    ]
    if not line["seeds"]:
        scores = [line["remark"] or "failed", *[NONE] * (columns - 1)]
    elif line["missing"]:
        scores[0] += f" ({len(line['seeds'])} of {len(document['seeds'])} seeds)"
    time = line["pretraining"]
    return [
        f"{line['number']}",
        line["name"],
        ranged(line["patches"]) if line["patches"] else NONE,
        NONE if line["dim"] is None else f"{line['dim']:,}",
        *scores,
        duration(time["seconds"]) if time else NONE,
        percent(round(time["share"], 2)) if time else NONE,
    ]


def _differences(document: Document, judge: str) -> Table:
    rows: list[list[str]] = []
    sure: set[tuple[int, int]] = set()
    for line in document["rows"]:
        if judge in line["differences"]:
            found = [line["differences"][judge][name] for name in COMPARED]
            sure |= {(len(rows), 2 + x) for x, one in enumerate(found) if is_sure(one)}
            rows.append([f"{line['number']}", line["name"], *map(differing, found)])
    return Table(
        f"Differences to the first row, {JUDGES[judge]}",
        "The row minus the first on the same test rows and the same "
        "resamples of patients, mean over seeds with its 95 % interval, ± deviation over seeds. "
        "Bold: the interval does not hold zero. Many comparisons are made, so one alone proves "
        "little.",
        ["Row", "Encoder", *(METRIC_NAMES[name] for name in COMPARED)],
        rows,
        words=2,
        sure=frozenset(sure),
    )
