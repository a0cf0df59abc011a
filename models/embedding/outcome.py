"""What a run says of itself: where it stands, and what came of every slide."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    slides_total: int
    slides_done: int
    slides_failed: int
    patches_total: int
    patches_done: int
    bytes_written: int
    elapsed_s: float


@dataclass(frozen=True)
class Outcome:
    """What came of one slide; `error` is a sentence, `cause` the name of its class."""

    slide_id: str
    state: Literal["done", "skipped", "failed"]
    patches: int = 0
    bytes: int = 0
    error: str = ""
    cause: str = ""


@dataclass(frozen=True)
class Summary:
    """What came of a run.

    Attributes:
        outcomes: by slide.
        seconds: from the first task to the last commit.
        loads: how often an encoder was loaded by tasks; what was loaded before is not counted.
        processes: that did tasks.
        batch: smallest that a worker ended with; None where none worked.
    """

    outcomes: tuple[Outcome, ...]
    seconds: float
    loads: int
    processes: int
    batch: int | None


def failed(slide_id: str, error: BaseException) -> Outcome:
    """Describe a slide that failed."""
    cause = type(error).__name__
    return Outcome(slide_id, "failed", error=f"{error}" or cause, cause=cause)
