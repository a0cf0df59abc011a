"""The table, the sheet and the page of a distillation."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflows.beside import write_file
from workflows.distilling.scores import HEADINGS
from workflows.reporting.experiments import Figure, Page, Table, markdown, render_experiment
from workflows.reporting.forest import Dot, forest
from workflows.reporting.label_curves import swatch
from workflows.units import duration, plural
from workflows.version import package_version

TABLE, SHEET, REPORT, RECORD = "table.md", "table.csv", "report.html", "run.json"
NONE = "-"
ENDS = ("value", "low", "high")

Line = Mapping[str, Any]


def write_outputs(out: str, document: dict[str, Any]) -> dict[str, str]:
    """Write all files; gives where each is."""
    folder = Path(out).expanduser().absolute()
    files = {name: str(folder / name) for name in (TABLE, SHEET, REPORT, RECORD)}
    page = _page(document)
    version = package_version("microtome") or ""
    texts = {
        TABLE: "\n".join(map(markdown, page.tables)),
        SHEET: _sheet(document),
        REPORT: render_experiment(page, document["config"], version),
        RECORD: json.dumps(document | {"files": files}, indent=1) + "\n",
    }
    for name, text in texts.items():
        write_file(files[name], text.encode())
    return files


def told(found: Line | None, form: str = ".3f") -> str:
    """Write a score with its interval, 0.812 (0.754 to 0.866)."""
    if not found:
        return NONE
    ends = "" if found["low"] is None else f" ({found['low']:{form}} to {found['high']:{form}})"
    return f"{found['value']:{form}}{ends}"


def _page(document: dict[str, Any]) -> Page:
    parts = document["parts"]
    keys = [
        (name, f"{found['patches']:,}", f"patches of {plural(found['patients'], 'patient')}")
        for name, found in (("Labelled", parts["labelled"]), ("Testing", parts["test"]))
    ]
    without = sum(fold["patches"] for fold in parts["folds"])
    keys.append(("Without labels", f"{without:,}", f"patches in {len(parts['folds'])} folds"))
    keys.append(("Classes", f"{len(parts['classes'])}", ", ".join(parts["classes"])))
    tables = [_stages(document), _differences(document)]
    facts = {
        "Network": f"{document['config']['encoder']}, init {document['config']['init']}",
        "Device": document["stages"][-1]["device"],
        "Time": duration(sum(line["seconds"] for line in document["stages"])),
    }
    title = f"Distillation of {document['config']['encoder']}"
    rows = [table for table in tables if table.rows]
    return Page(title, document["out"], document["notes"], keys, [_figure(document)], rows, facts)


def _figure(document: dict[str, Any]) -> Figure:
    drawings = []
    for name in ("macro_auroc", "macro_f1"):
        dots = []
        for number, line in enumerate(document["stages"]):
            found = line["scores"].get(name)
            ends = [found[end] for end in ENDS] if found else [None] * 3
            dots.append(Dot(line["name"], number, *ends))
        drawn = forest(dots, title=f"{HEADINGS[name]} of every stage", below=HEADINGS[name])
        drawings.append((HEADINGS[name], drawn))
    legend = [(line["name"], swatch(i)) for i, line in enumerate(document["stages"])]
    remark = "Bars are 95 % intervals over patients."
    return Figure("Scores of the students", remark, legend, drawings)


def _stages(document: dict[str, Any]) -> Table:
    tested = document["parts"]["test"]
    rows = [
        [
            line["name"],
            f"{line['patches']:,}",
            f"{line['steps']:,}",
            *(told(line["scores"][name]) for name in HEADINGS),
            duration(line["seconds"]),
        ]
        for line in document["stages"]
    ]
    return Table(
        "Students by round",
        f"On {plural(tested['patches'], 'patch')} of {plural(tested['patients'], 'patient')}, with "
        "95 % intervals over patients. Patches: labelled ones of the initial model, else those "
        "without labels.",
        ["Stage", "Patches", "Steps", *HEADINGS.values(), "Time"],
        rows,
    )


def _differences(document: dict[str, Any]) -> Table:
    rows: list[list[str]] = []
    sure: set[tuple[int, int]] = set()
    for line in document["stages"]:
        if line["differences"]:
            found = [line["differences"][name] for name in HEADINGS]
            sure |= {(len(rows), 1 + x) for x, one in enumerate(found) if _is_sure(one)}
            rows.append([line["name"], *(told(one and one["difference"], "+.3f") for one in found)])
    first = document["stages"][0]["name"]
    return Table(
        f"Differences to {first}",
        f"The stage minus {first} on the same patches and the same resamples of patients. Bold: "
        "the interval does not hold zero.",
        ["Stage", *HEADINGS.values()],
        rows,
        sure=frozenset(sure),
    )


def _is_sure(found: Line | None) -> bool:
    if not found or found["difference"]["low"] is None:
        return False
    return bool(found["difference"]["low"] > 0 or found["difference"]["high"] < 0)


def _sheet(document: dict[str, Any]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(_rows(document))
    return text.getvalue()


def _rows(document: dict[str, Any]) -> Iterator[Sequence[Any]]:
    yield ("stage", "metric", *ENDS)
    for line in document["stages"]:
        for name, found in line["scores"].items():
            yield (line["name"], name, *([found[end] for end in ENDS] if found else [None] * 3))
