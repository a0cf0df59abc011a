"""The page of a probe run: curves over shares of the labels, tables, and what to beware of."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from markupsafe import Markup

from workflows.reporting.html import new_environment
from workflows.reporting.intervals import interval, p_value, signed
from workflows.reporting.label_curves import Point, curves, swatch
from workflows.units import duration, plural

PROBES = {"knn": "Nearest neighbours", "linear": "Linear probe", "finetune": "Fine-tuning"}
METRICS = {
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "macro_auroc": "Macro AUROC",
}

Line = dict[str, Any]


def render_probe(document: Mapping[str, Any], version: str) -> str:
    """Give the page as HTML; all is in one file, which asks the network for nothing.

    Args:
        document: of the run.
        version: of microtome.
    """
    lines: list[Line] = document["lines"]
    scores = [line for line in lines if line["kind"] == "score"]
    return (
        new_environment(FILTERS)
        .get_template("probe.html.j2")
        .render(
            run=document,
            name=PurePosixPath(document["archive"].rstrip("/")).name,
            encoders=[(name, swatch(i)) for i, name in enumerate(document["encoders"])],
            panels=_panels(document, scores),
            scores=scores,
            comparisons=[line for line in lines if line["kind"] == "comparison"],
            health=[line for line in lines if line["kind"] == "health"],
            failed=[line for line in lines if line["kind"] == "failed"],
            metrics=METRICS,
            version=version,
        )
    )


def _panels(
    document: Mapping[str, Any], scores: Sequence[Line]
) -> list[tuple[str, list[tuple[str, Markup]]]]:
    """Per probe its heading, and per metric a heading and a drawing."""
    used = [probe for probe in PROBES if any(line["probe"] == probe for line in scores)]
    return [
        (
            PROBES[probe],
            [
                (heading, _drawing(document, scores, probe, metric))
                for metric, heading in METRICS.items()
            ],
        )
        for probe in used
    ]


def _drawing(
    document: Mapping[str, Any], scores: Sequence[Line], probe: str, metric: str
) -> Markup:
    chance = {**document["most_frequent"], "macro_auroc": 0.5}[metric]
    series = []
    for number, encoder in enumerate(document["encoders"]):
        points = [
            Point(line["fraction"], *(line["metrics"][metric][end] for end in ENDS))
            for line in scores
            if (line["probe"], line["encoder"]) == (probe, encoder) and line["metrics"][metric]
        ]
        if points:
            series.append((number, points))
    title = f"{PROBES[probe]}: {METRICS[metric]} over the share of the labels"
    return curves(series, title=title, chance=chance)


ENDS = ("value", "low", "high")


def _percent(value: float) -> str:
    return f"{100 * value:g} %"


def _probe(name: str) -> str:
    return PROBES[name]


def _number(value: float) -> str:
    return f"{value:,.0f}"


FILTERS = {
    "interval": interval,
    "signed": signed,
    "percent": _percent,
    "probe": _probe,
    "p": p_value,
    "number": _number,
    "plural": plural,
    "duration": duration,
}
"""Numbers as a person reads them."""
