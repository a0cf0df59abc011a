"""What a run says of itself: where it stands, and what came of every slide."""

from dataclasses import dataclass
from typing import Any, Literal

from tiling.request import SlideSource


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    slides_total: int
    slides_done: int
    slides_skipped: int
    slides_failed: int
    patches_total: int
    patches_done: int
    bytes_written: int
    elapsed_s: float


@dataclass(frozen=True)
class SlideOutcome:
    """What came of one slide; `error` is a sentence, `cause` the name of its class."""

    slide_id: str
    location: str
    state: Literal["done", "skipped", "failed"]
    patches: int = 0
    unreadable: int = 0
    bytes: int = 0
    error: str = ""
    cause: str = ""


@dataclass(frozen=True)
class RunSummary:
    """What came of a run, slides in the order in which they were asked for."""

    outcomes: tuple[SlideOutcome, ...]
    seconds: float


def committed_outcome(
    source: SlideSource, state: Literal["done", "skipped"], attributes: dict[str, Any]
) -> SlideOutcome:
    """Describe a committed slide by its attributes."""
    return SlideOutcome(
        source.slide_id,
        source.location,
        state,
        patches=attributes["n_patches"],
        unreadable=attributes["n_unreadable"],
        bytes=sum(entry[0] for entry in attributes["checksums"].values()),
    )


def failed_outcome(source: SlideSource, error: BaseException) -> SlideOutcome:
    """Describe a slide that failed."""
    sentence = f"{error}" or type(error).__name__
    cause = type(error).__name__
    return SlideOutcome(source.slide_id, source.location, "failed", error=sentence, cause=cause)
