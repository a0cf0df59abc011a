"""What `segment evaluate` says of itself, and the files that it writes.

scores.json    the outcome
confusion.csv  pixels by true and predicted class
report.html    the page
patches.png    some patches with truth and predictions
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tiling.preview import encode_png
from workflows.beside import write_file
from workflows.reporting.segmenting import render_segmentation
from workflows.reporting.segmenting_pictures import Panel, draw_sheet, make_panel
from workflows.segmenting.gallery import Shown
from workflows.segmenting.scores import (
    confusion_csv,
    patch_document,
    scores_document,
    total,
)
from workflows.segmenting.scoring import Counted
from workflows.segmenting.stages import Opened
from workflows.segmenting.truth import Truth
from workflows.units import plural
from workflows.version import package_version

SCORES, CONFUSION = "scores.json", "confusion.csv"
REPORT, PATCHES = "report.html", "patches.png"
WHITE = (255, 255, 255)


def about(
    opened: Opened, truths: Sequence[Truth], counted: Counted, *, split: str | None
) -> dict[str, Any]:
    """Say what was scored on what."""
    card, rule = opened.card, opened.stages.gate
    gated = "gated" in opened.stages.ways
    return {
        "archives": [truth.location for truth in truths],
        "split": split,
        "models": opened.document(),
        "classes": list(card.classes),
        "colours": [list(colour) for colour in card.palette],
        "gate": {"on": rule.on, "epsilon": rule.epsilon} if gated else None,
        "slides": sum(len(truth.patches.slides) for truth in truths),
        "patients": len(_first_tally(counted)),
        "patches": {"scored": counted.patches, "without_mask": counted.without_mask},
        "pixels": total(_first_tally(counted)).sum(axis=1).tolist(),
        "forced": _once(sentence for truth in truths for sentence in truth.forced),
        "notes": _notes(opened, truths, counted),
    }


def evaluation_document(counted: Counted, seed: int, resamples: int) -> dict[str, Any]:
    """Give scores of pixels and of whole patches."""
    return {
        "scores": scores_document(counted, seed=seed, resamples=resamples),
        "patch_level": patch_document(counted, seed=seed, resamples=resamples),
        "seed": seed,
        "resamples": resamples,
    }


def write_evaluation(
    out: str, document: Mapping[str, Any], shown: Sequence[Shown]
) -> dict[str, str]:
    """Write all files; gives the place of each by kind."""
    root = out.rstrip("/")
    drawn = [
        make_panel(one.name, one.pixels, {"truth": one.truth, **one.masks}, document["colours"])
        for one in shown
    ]
    page = render_segmentation(document, drawn, package_version("microtome") or "")
    table = confusion_csv(document["scores"], document["classes"])
    text = json.dumps({key: known for key, known in document.items() if key != "files"}, indent=1)
    files = {
        "report": (REPORT, page.encode()),
        "confusion": (CONFUSION, table.encode()),
        "scores": (SCORES, f"{text}\n".encode()),
    }
    if drawn:
        files["patches"] = (PATCHES, _sheet(drawn, document))
    return {kind: write_file(f"{root}/{name}", data) for kind, (name, data) in files.items()}


def _sheet(drawn: Sequence[Panel], document: Mapping[str, Any]) -> bytes:
    legend = [*zip(document["classes"], document["colours"], strict=True)]
    return encode_png(draw_sheet(drawn, [*legend, ("background", WHITE)]))


def _first_tally(counted: Counted) -> Any:
    return next(iter(counted.tallies.values()))


def _notes(opened: Opened, truths: Sequence[Truth], counted: Counted) -> list[str]:
    tally, classes = _first_tally(counted), opened.card.classes
    notes = [*opened.notes, *_once(sentence for truth in truths for sentence in truth.notes)]
    if counted.without_mask:
        left_out = plural(counted.without_mask, "patch")
        notes.append(f"{left_out} without a mask left out")
    if len(tally) == 1:
        notes.append("all patches are of one patient, so there are no intervals")
    pixels = total(tally).sum(axis=1)
    for name, count in zip(classes, pixels, strict=False):
        if not count:
            notes.append(
                f"no mask holds {name}: its IoU is not defined, or 0 where it is predicted"
            )
    if not pixels[: len(classes)].any():
        notes.append("masks hold background alone, so nothing but background is scored")
    if not counted.whitened:
        notes.append("white is tissue to this model, so it is not scored with background")
    if "masks" in counted.labels and counted.agreement:
        notes.append("patches without labels are taken to hold what their masks hold")
    return notes


def _once(sentences: Any) -> list[str]:
    return list(dict.fromkeys(sentences))
