"""What an experiment leaves beside its cells: table, plot, page and record."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workflows.experiments.cells import CellStore, Document
from workflows.reporting.experiments import Figure, Page, Table, markdown, render_experiment
from workflows.reporting.standalone import standalone
from workflows.units import duration
from workflows.version import package_version

TABLE, SHEET, PLOT, REPORT, RECORD = "table.md", "table.csv", "plot.svg", "report.html", "run.json"


@dataclass(frozen=True)
class Outputs:
    """What is written.

    Attributes:
        page: of the report; its first figure is the plot.
        tables: of the Markdown file.
        rows: of the CSV file, the header first.
        side_px: of a drawing.
    """

    page: Page
    tables: Sequence[Table]
    rows: Iterable[Sequence[Any]]
    side_px: tuple[int, int]


def write_outputs(store: CellStore, document: Document, given: Outputs) -> Document:
    """Write all files; gives the document with the place of each."""
    notes = "".join(f"**{note}**\n\n" for note in given.page.notes)
    version = package_version("microtome") or ""
    texts = {
        TABLE: notes + "\n".join(map(markdown, given.tables)),
        SHEET: csv_text(given.rows),
        PLOT: standalone(given.page.figures[0], given.side_px),
        REPORT: render_experiment(given.page, document["config"], version),
    }
    files = {name: store.write_text(name, text) for name, text in texts.items()}
    files[RECORD] = str(store.folder / RECORD)
    told = document | {"files": files}
    store.write_text(RECORD, json.dumps(told, indent=1, allow_nan=False) + "\n")
    return told


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Give rows as CSV; numbers have all their digits, None is empty."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def new_page(title: str, document: Document, figure: Figure, tables: Sequence[Table]) -> Page:
    """Give a page with what all experiments say alike."""
    split, config = document["split"], document["config"]
    keys = [
        (name, f"{split[side]['patches']:,}", f"patches of {split[side]['patients']:,} patients")
        for name, side in (("Teaching", "train"), ("Testing", "test"))
    ]
    keys.append(("Classes", f"{len(document['classes'])}", ""))
    keys.append(("Seeds", f"{len(document['seeds'])}", "repetitions"))
    keys.append(("Network", config["encoder"], f"init {config['init']}"))
    notes, place = _notes(document), document["out"]
    return Page(title, place, notes, keys, [figure], tables, _facts(document))


def class_table(document: Document) -> Table:
    """Count the classes on each side."""
    rows = [
        [one["name"], *(f"{one[side]['patches']:,} ({one[side]['patients']:,})" for side in SIDES)]
        for one in document["classes"]
    ]
    return Table(
        "Classes", "Patches (patients) on each side.", ["Class", "Teaching", "Testing"], rows
    )


SIDES = ("train", "test")


def _facts(document: Document) -> dict[str, str]:
    """Say how it was made: command, seeds, machine, versions."""
    machine, config = document["machine"], document["config"]
    versions = (f"{name} {found}" for name, found in machine["versions"].items() if found)
    where = ", ".join(machine["gpus"]) or f"{machine['cores']} cores of {machine['processor']}"
    return {
        "Command": document["command"],
        "Seeds": ", ".join(map(str, config["seeds"])),
        "Resamples": f"{config['resamples']:,} of patients, seed {config['resample_seed']}",
        "Machine": f"{where}; {machine['threads']} threads; {machine['system']}",
        "Versions": f"Python {machine['python']}, {', '.join(versions)}",
        "Time": f"{duration(document['cell_seconds'])} for all cells, each as it was last computed",
    }


def _notes(document: Document) -> list[str]:
    """What to beware of: leaks, and cells that failed."""
    leaks = [f"Leaky: {text}." for text in document["leaky"]]
    return leaks + [f"{line['name']} failed: {line['error']}" for line in document["failed"]]
