"""Tables and drawings of the distillation experiment."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workflows.experiments.cells import Document
from workflows.experiments.distill_cells import KINDS
from workflows.experiments.words import NONE, differing, is_sure, percent, ranged, spanning
from workflows.reporting.experiments import Figure, Table
from workflows.reporting.forest import Dot, forest
from workflows.reporting.label_curves import swatch
from workflows.units import duration, plural

SHOWN = {"accuracy": "Accuracy", "macro_f1": "Macro F1", "macro_auroc": "Macro AUROC"}
DRAWN = ("macro_auroc", "macro_f1")
GROUPS = {
    "initial": "initial model",
    "round": "rounds",
    "supervised": "all labels",
    "ablation": "without a part",
}
ENDS = ("value", "sd", "low", "high")

Line = Mapping[str, Any]


def main_tables(document: Document) -> list[Table]:
    """Tables that are written as Markdown: all rows, and what rounds and parts bring."""
    found = [_rows(document), _differences(document)]
    return [table for table in found if table.rows]


def figure(document: Document) -> Figure:
    """Draw two scores of every row, with their intervals."""
    drawings = []
    for name in DRAWN:
        dots = [_dot(line, name) for line in document["rows"]]
        title = f"{SHOWN[name]} of every row"
        drawn = forest(dots, title=title, below=SHOWN[name], level=dots[0].value)
        drawings.append((SHOWN[name], drawn))
    used = {line["kind"] for line in document["rows"]}
    return Figure(
        "Scores of the students",
        "Mean over seeds; bars are 95 % intervals over patients. Broken line: the initial model.",
        [(GROUPS[kind], swatch(number)) for number, kind in enumerate(KINDS) if kind in used],
        drawings,
    )


def csv_rows(document: Document) -> Iterator[Sequence[Any]]:
    """Give the rows of `table.csv`, its header first."""
    yield ("row", "name", "kind", "metric", "seeds", "mean", "sd", "low", "high", "leaky")
    leaky = bool(document["leaky"])
    for line in document["rows"]:
        for name, found in line["scores"].items():
            values = [found[end] for end in ENDS] if found else [None] * len(ENDS)
            about = (line["number"], line["name"], line["kind"], name, len(line["seeds"]))
            yield (*about, *values, leaky)


def _dot(line: Line, name: str) -> Dot:
    found = line["scores"].get(name)
    ends = [found[end] for end in ("value", "low", "high")] if found else [None] * 3
    return Dot(f"{line['number']} {line['name']}", KINDS.index(line["kind"]), *ends)


def _rows(document: Document) -> Table:
    tested = document["split"]["test"]
    people = f"{plural(tested['patches'], 'patch')} of {plural(tested['patients'], 'patient')}"
    share, unit = percent(document["config"]["labelled"]), document["config"]["fraction_unit"]
    return Table(
        f"{len(document['rows'])} rows",
        f"Mean over seeds with its 95 % interval over the test set's {people}, ± deviation over "
        f"seeds. Labels of {share} of the {unit}s are shown. Patches: those of the row's last "
        "stage, which are labelled in the initial model and in full supervision, and without "
        "labels elsewhere. Time: of all stages up to that one; rows without a part begin with the "
        "same initial model, which is not counted again.",
        ["Row", "Student", "Labelled", "Patches", *SHOWN.values(), "Time"],
        [_row(document, line) for line in document["rows"]],
        words=2,
    )


def _row(document: Document, line: Line) -> list[str]:
    scores = [spanning(line["scores"].get(name)) for name in SHOWN]
    if not line["seeds"]:
        scores = ["failed", *[NONE] * (len(SHOWN) - 1)]
    elif line["missing"]:
        scores[0] += f" ({len(line['seeds'])} of {len(document['seeds'])} seeds)"
    labelled = line["patches"] if line["kind"] == "supervised" else line["labelled"]
    return [
        f"{line['number']}",
        line["name"],
        ranged(labelled) if labelled else NONE,
        ranged(line["patches"]) if line["patches"] else NONE,
        *scores,
        NONE if line["seconds"] is None else duration(line["seconds"]),
    ]


def _differences(document: Document) -> Table:
    rows: list[list[str]] = []
    sure: set[tuple[int, int]] = set()
    last = document["config"]["folds"]
    other = {"initial": "initial model", f"round{last}": f"DISTL, T = {last}"}
    for line in document["rows"]:
        if line["differences"]:
            found = [line["differences"][name] for name in SHOWN]
            sure |= {(len(rows), 3 + x) for x, one in enumerate(found) if is_sure(one)}
            against = other[line["against"]]
            rows.append([f"{line['number']}", line["name"], against, *map(differing, found)])
    return Table(
        "Differences",
        "The row minus the other on the same test rows and the same resamples of patients, mean "
        "over seeds with its 95 % interval, ± deviation over seeds. Bold: the interval does not "
        "hold zero. Many comparisons are made, so one alone proves little.",
        ["Row", "Student", "Against", *SHOWN.values()],
        rows,
        words=3,
        sure=frozenset(sure),
    )
