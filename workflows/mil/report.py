"""Writes the page of a MIL run: chooses slides to show, and draws their attention."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from models.mil.cohort import MilBag, SlideRow
from models.mil.crossval import FoldResult
from models.mil.judge import Predictions
from models.mil.predict import Floats, Prediction
from models.mil.source import pieces
from workflows.mil.folder import REPORT, RunFolder
from workflows.mil.scores import pool
from workflows.reporting.attention import draw_attention
from workflows.reporting.mil import MilPage, Picture, render_mil
from workflows.reporting.pictures import data_url
from workflows.version import package_version

Predicted = tuple[MilBag, Prediction]


def write_train_report(
    folder: RunFolder,
    document: Mapping[str, Any],
    results: Sequence[FoldResult],
    pictures: int,
) -> str:
    """Write the page of a training run; gives its path."""
    predicted = [
        pair for result in results for pair in zip(result.bags, result.predictions, strict=True)
    ]
    page = MilPage(
        f"{document['model']['name']} on {document['encoder']}: {folder.name}",
        str(folder.path),
        document,
        pool(results),
        own_folds=True,
        histories=[result.fit.history for result in results],
        pictures=draw_pictures(predicted, document["classes"], pictures),
    )
    return folder.write(REPORT, render_mil(page, package_version("microtome") or ""))


def render_evaluation(
    title: str,
    place: str,
    document: Mapping[str, Any],
    found: Predictions | None,
    pictures: Sequence[Picture] = (),
) -> str:
    """Give the page of an evaluation or of predictions as HTML."""
    own = found is not None and not document["archives"]
    page = MilPage(title, place, document, found, own_folds=own, pictures=pictures)
    return render_mil(page, package_version("microtome") or "")


def draw_pictures(
    predicted: Sequence[Predicted], classes: Sequence[str], wanted: int
) -> list[Picture]:
    """Draw the slides that the models are surest of, class after class in turn."""
    chosen = _surest(predicted, len(classes), wanted)
    return [_picture(bag, found, classes) for bag, found in chosen]


def _surest(predicted: Iterable[Predicted], classes: int, wanted: int) -> list[Predicted]:
    """Take turns of the classes, each with its bags from the surest on."""
    of_class: list[list[Predicted]] = [[] for _ in range(classes)]
    for pair in predicted:
        of_class[int(pair[1].probabilities.argmax())].append(pair)
    for members in of_class:
        members.sort(key=lambda pair: (-float(pair[1].probabilities.max()), pair[0].name))
    turns: Iterator[Predicted] = (
        members[turn]
        for turn in range(max(map(len, of_class)))
        for members in reversed(of_class)
        if turn < len(members)
    )
    return list(islice(turns, wanted))


def _picture(bag: MilBag, found: Prediction, classes: Sequence[str]) -> Picture:
    """Draw the bag's slide of most patches, by the attention of the predicted class."""
    number = int(found.probabilities.argmax())
    channel = number if len(found.attention) > 1 else 0
    row, attention = _largest(pieces(bag, found.attention[channel]))
    drawn = draw_attention(row.bag, attention)
    told = f"{classes[number]} with probability {found.probabilities[number]:.3f}"
    label = f", labelled {classes[bag.label]}" if bag.label >= 0 else ""
    caption = f"predicted {told}{label}; {len(attention):,} patches"
    return Picture(row.slide_id, data_url(drawn), drawn.shape[1], drawn.shape[0], caption)


def _largest(parts: Iterable[tuple[SlideRow, Floats]]) -> tuple[SlideRow, Floats]:
    return max(parts, key=lambda part: len(part[1]))
