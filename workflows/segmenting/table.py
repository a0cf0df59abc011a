"""The table of a run of all steps: scores by way of predicting, over seeds."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from workflows.beside import write_file

SCORES = ("miou", "fwiou", "pixel_accuracy", "mean_accuracy")
HEADINGS = {
    "miou": "mIoU",
    "fwiou": "FwIoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
}
Row = dict[str, Any]


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Give every seed's scores, and means and standard deviations over seeds.

    Args:
        rows: of `Pipeline.run`: `seed`, `way`, `classes` and the scores of `segment evaluate`.

    Returns:
        `classes`; `rows`, a value per score and class for each seed and way; `table`, by way and
        score the mean and the standard deviation (None for one seed) over seeds.
    """
    classes = list(rows[0]["classes"])
    told = [_plain(row, classes) for row in rows]
    ways = list(dict.fromkeys(row["way"] for row in told))
    names = [*SCORES, *classes]
    table = {
        way: {name: _spread([row[name] for row in told if row["way"] == way]) for name in names}
        for way in ways
    }
    return {"classes": classes, "rows": told, "table": table}


def write_table(out: str, document: dict[str, Any]) -> dict[str, str]:
    """Write the table as Markdown and everything as JSON; gives where."""
    folder = Path(out).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    files = {"table": str(folder / "table.md"), "scores": str(folder / "scores.json")}
    write_file(files["table"], markdown(document).encode())
    write_file(files["scores"], json.dumps(document, indent=1).encode() + b"\n")
    return files


def markdown(document: dict[str, Any]) -> str:
    """Give the table: a row per way, percent, mean and standard deviation over seeds."""
    names = [*SCORES, *document["classes"]]
    heads = ["prediction", *(HEADINGS.get(name, f"IoU {name}") for name in names)]
    lines = [heads, ["---"] * len(heads)]
    for way, scores in document["table"].items():
        lines.append([way, *(percent(*scores[name]) for name in names)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _plain(row: Row, classes: Sequence[str]) -> Row:
    scores = row["without_background"]
    values = {name: _value(scores[name]) for name in SCORES}
    values |= {name: _value(one) for name, one in zip(classes, scores["iou"], strict=True)}
    return {"seed": row["seed"], "way": row["way"], **values}


def _value(found: dict[str, Any] | None) -> float | None:
    return None if found is None else float(found["value"])


def _spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    known = [value for value in values if value is not None]
    if not known:
        return None, None
    return fmean(known), stdev(known) if len(known) > 1 else None


def percent(mean: float | None, deviation: float | None) -> str:
    """Write a mean and a standard deviation in percent."""
    if mean is None:
        return "-"
    spread = "" if deviation is None else f" ± {100 * deviation:.1f}"
    return f"{100 * mean:.1f}{spread}"
