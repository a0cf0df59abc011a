"""The page of `segment evaluate`: scores, confusion of classes, and patches to look at."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from workflows.reporting.html import new_environment
from workflows.reporting.intervals import interval
from workflows.reporting.pictures import data_url
from workflows.reporting.segmenting_pictures import HEADINGS, Panel
from workflows.units import duration, plural

WAYS = {
    "cam": "Activation maps",
    "segmenter": "Without gate",
    "gated": "With gate",
}
"""Names of predictions for people."""
SCORES = {
    "miou": "Mean IoU",
    "fwiou": "Frequency-weighted IoU",
    "pixel_accuracy": "Pixel accuracy",
    "mean_accuracy": "Mean accuracy",
}
"""Names of scores for people."""

Row = tuple[str, list[Mapping[str, Any] | None]]


def render_segmentation(document: Mapping[str, Any], panels: Sequence[Panel], version: str) -> str:
    """Give the page as HTML; all is in one file, which asks the network for nothing.

    Args:
        document: of the command.
        panels: patches that are shown.
        version: of microtome.
    """
    ways = list(document["scores"])
    first = next(iter(document["models"].values()))
    return (
        new_environment(FILTERS)
        .get_template("segmentation.html.j2")
        .render(
            run=document,
            model=first,
            role=next(iter(document["models"])),
            place=", ".join(document["archives"]),
            names=[PurePosixPath(place.rstrip("/")).name for place in document["archives"]],
            ways=[(way, WAYS[way]) for way in ways],
            best=document["scores"][ways[-1]]["without_background"],
            best_name=WAYS[ways[-1]].lower(),
            legend=[*zip(document["classes"], document["colours"], strict=True)],
            tables=_tables(document, ways),
            matrices=_matrices(document, ways),
            headings=HEADINGS,
            panels=[(panel.name, _urls(panel)) for panel in panels],
            version=version,
        )
    )


def _tables(document: Mapping[str, Any], ways: Sequence[str]) -> list[tuple[str, list[Row]]]:
    """Give caption and rows of each table: a score, and its interval by every way."""
    found = [("Pixels whose truth is background left out", "without_background")]
    found.append(("Background as one more class, where white is background", "with_background"))
    return [
        (caption, _rows(document, [document["scores"][way][key] for way in ways]))
        for caption, key in found
        if all(document["scores"][way][key] for way in ways)
    ]


def _rows(document: Mapping[str, Any], scores: Sequence[Mapping[str, Any]]) -> list[Row]:
    rows: list[Row] = [(told, [one[name] for one in scores]) for name, told in SCORES.items()]
    names = [*document["classes"], "background"][: len(scores[0]["iou"])]
    each = [(f"IoU of {name}", [one["iou"][k] for one in scores]) for k, name in enumerate(names)]
    return [*rows, *each]


def _matrices(
    document: Mapping[str, Any], ways: Sequence[str]
) -> list[tuple[str, list[str], list[tuple[str, list[int]]]]]:
    """Give heading, columns and rows of every confusion matrix, background where it is known."""
    classes, found = list(document["classes"]), []
    for way in ways:
        scores = document["scores"][way]
        matrix = scores["confusion_with_background"]
        whole = matrix is not None
        rows = matrix if whole else scores["confusion"][: len(classes)]
        columns = [*classes, "background" if whole else "none"]
        named = list(zip([*classes, "background"], rows, strict=False))
        found.append((WAYS[way], columns, named))
    return found


def _urls(panel: Panel) -> list[tuple[str, str, int, int]]:
    """Give column, picture, width and height of each picture; masks keep their plain colours."""
    return [
        (
            column,
            data_url(picture) if column == "image" else _png_url(picture),
            picture.shape[1],
            picture.shape[0],
        )
        for column, picture in panel.pictures.items()
    ]


def _png_url(picture: Any) -> str:
    from tiling.preview import encode_png

    return f"data:image/png;base64,{base64.b64encode(encode_png(picture)).decode('ascii')}"


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _share(count: int, row: Sequence[int]) -> str:
    """Share of a row in per cent."""
    return f"{100 * count / sum(row):.1f}" if sum(row) else ""


def _shade(count: int, row: Sequence[int]) -> str:
    """Blue behind a cell of the confusion matrix, by its share of the row."""
    share = count / max(sum(row), 1)
    ink = "#fff" if share > 0.7 else "inherit"
    return f"background: rgb(0 114 178 / {0.75 * share:.2f}); color: {ink}"


def _rgb(colour: Sequence[int]) -> str:
    red, green, blue = colour
    return f"rgb({red} {green} {blue})"


FILTERS = {
    "interval": interval,
    "number": _number,
    "share": _share,
    "shade": _shade,
    "rgb": _rgb,
    "plural": plural,
    "duration": duration,
}
"""Numbers as a person reads them."""
