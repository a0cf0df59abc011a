"""Tables and drawing of the federated experiment, in the shape of the paper's."""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, stdev
from typing import Any

from workflows.experiments.cells import CellStore, Document
from workflows.experiments.federated import FederatedTrials, mean_known
from workflows.experiments.federated_config import NAMES
from workflows.experiments.words import NONE
from workflows.reporting import lines as drawings
from workflows.reporting.experiments import Figure, Page, Table
from workflows.reporting.label_curves import swatch

MODES = {
    "local": "Local fine-tuning",
    "federated": "Federated fine-tuning",
}
"""Headings of the paper's tables 1 and 2."""
REMARK = (
    "Dice, the mean of the classes but background: mean ± standard deviation over the {sites} "
    "sites, each the mean of {seeds} seeds, or of as many as are named. N: annotated patients of "
    "every site."
)


def summarise(trials: FederatedTrials, store: CellStore) -> Document:
    """Give JSON values: what every setting scored, and what failed."""
    cells = trials.cells
    read = {cell: store.read(cell.name) for cell in cells}
    found = {cell: result for cell, result in read.items() if result is not None}
    failed = [store.failure(cell.name) for cell in cells if cell not in found]
    config, settings = trials.config, []
    for mode in config.modes:
        for start in config.starts:
            for n in config.annotated:
                own = {
                    c.seed: r
                    for c, r in found.items()
                    if (c.start, c.mode, c.n) == (start, mode, n)
                }
                by_seed = [result.arrays["dice"].tolist() for result in own.values()]
                settings.append(
                    {
                        "start": start,
                        "mode": mode,
                        "n": n,
                        "seeds": list(own),
                        "dice": over_sites(by_seed) if by_seed else None,
                    }
                )
    return {
        "name": "federated",
        "sites": [site.name for site in trials.sites],
        "settings": settings,
        "failed": [line for line in failed if line is not None],
        "cell_seconds": sum(result.document["seconds"] for result in found.values()),
    }


def over_sites(by_seed: Sequence[Sequence[float]]) -> Document | None:
    """Give mean and deviation over sites, each the mean over seeds; and the deviation over seeds.

    Args:
        by_seed: the Dice of every site, of each seed; NaN where it is not defined, which is left
            out of all means.

    Returns:
        None where nothing is defined.
    """
    sites = [mean_known(one) for one in zip(*by_seed, strict=True)]
    seeds = [found for one in by_seed if not math.isnan(found := mean_known(one))]
    known = [one for one in sites if not math.isnan(one)]
    if not known:
        return None
    return {
        "value": fmean(known),
        "sd": stdev(known) if len(known) > 1 else 0.0,
        "sd_of_seeds": stdev(seeds) if len(seeds) > 1 else None,
        "sites": [None if math.isnan(one) else one for one in sites],
    }


def main_tables(document: Document) -> list[Table]:
    """Give a table for each way of fine-tuning: one row per start, one column per N."""
    config = document["config"]
    remark = REMARK.format(sites=len(document["sites"]), seeds=len(config["seeds"]))
    return [_table(document, mode, remark) for mode in config["modes"]]


def site_tables(document: Document) -> list[Table]:
    """Give the Dice of every site, at the largest N, for the page."""
    config, most = document["config"], max(document["config"]["annotated"])
    head = ["", *document["sites"]]
    found = []
    for mode in config["modes"]:
        lines = [s for s in document["settings"] if (s["mode"], s["n"]) == (mode, most)]
        rows = [
            [NAMES[line["start"]], *map(_plain, line["dice"]["sites"])]
            for line in lines
            if line["dice"]
        ]
        if rows:
            heading = f"{MODES[mode]}: every site, N = {most}"
            found.append(Table(heading, "Dice, mean over seeds.", head, rows))
    return found


def figure(document: Document) -> Figure:
    """Draw Dice over N, which doubles from tick to tick."""
    config, drawn = document["config"], []
    for mode in config["modes"]:
        series = []
        for number, start in enumerate(config["starts"]):
            points = [
                (math.log2(line["n"]), line["dice"]["value"])
                for line in document["settings"]
                if (line["start"], line["mode"]) == (start, mode) and line["dice"]
            ]
            if points:
                series.append(drawings.Line(points, number))
        end = max(1.0, math.log2(max(config["annotated"])))
        axes = drawings.Axes(f"{MODES[mode]}: Dice", "log2 of N", "Dice", x=(0.0, end))
        drawn.append((MODES[mode], drawings.draw_lines(series, axes)))
    legend = [(NAMES[start], swatch(number)) for number, start in enumerate(config["starts"])]
    return Figure("Dice over annotated patients", "Mean over sites and seeds.", legend, drawn)


def page_of(document: Document) -> Page:
    """Give the page of the experiment."""
    config, machine = document["config"], document["machine"]
    keys = [
        ("Sites", f"{len(document['sites'])}", ""),
        ("Seeds", f"{len(config['seeds'])}", "repetitions, each another fold"),
        ("Network", "unet", f"{config['width']} channels, {config['side_px']} px"),
    ]
    notes = [f"{line['name']} failed: {line['error']}" for line in document["failed"]]
    where = ", ".join(machine["gpus"]) or f"{machine['cores']} cores of {machine['processor']}"
    versions = (f"{name} {found}" for name, found in machine["versions"].items() if found)
    facts = {
        "Command": document["command"],
        "Machine": f"{where}; {machine['threads']} threads; {machine['system']}",
        "Versions": f"Python {machine['python']}, {', '.join(versions)}",
    }
    tables = [*main_tables(document), *site_tables(document)]
    title = "Federated pretraining and fine-tuning"
    return Page(title, document["out"], notes, keys, [figure(document)], tables, facts)


def csv_rows(document: Document) -> Iterator[Sequence[Any]]:
    """Give the rows of `table.csv`, its header first."""
    yield ("start", "mode", "n", "seeds", "dice", "sd_sites", "sd_seeds", *document["sites"])
    for line in document["settings"]:
        found = line["dice"]
        values = [None] * (3 + len(document["sites"]))
        if found:
            values = [found["value"], found["sd"], found["sd_of_seeds"], *found["sites"]]
        yield (line["start"], line["mode"], line["n"], len(line["seeds"]), *values)


def _table(document: Document, mode: str, remark: str) -> Table:
    config = document["config"]
    lines = {(s["start"], s["n"]): s for s in document["settings"] if s["mode"] == mode}
    seeds = len(config["seeds"])
    rows = [
        [NAMES[start], *(_word(lines[start, n], seeds) for n in config["annotated"])]
        for start in config["starts"]
    ]
    return Table(MODES[mode], remark, ["", *(f"N = {n}" for n in config["annotated"])], rows)


def _word(line: Document, seeds: int) -> str:
    """Write a cell; of fewer seeds than the others it says so, as each seed tests another fold."""
    found, own = line["dice"], len(line["seeds"])
    if not found:
        return NONE
    few = "" if own == seeds else f" ({own} of {seeds} seeds)"
    return f"{found['value']:.3f} ± {found['sd']:.3f}{few}"


def _plain(dice: float | None) -> str:
    return NONE if dice is None else f"{dice:.3f}"
