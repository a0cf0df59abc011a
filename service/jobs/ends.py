"""How a workflow ends: what its result, or its error, means for the job."""

import errno
import os
from collections.abc import Mapping
from typing import Any

from models.errors import ModelError
from service.jobs.claims import End
from tiling.errors import LeaseError, StoreError, TilingError
from workflows.errors import TrainingError, UsageError, WorkflowError
from workflows.outcome import ALL_GOOD, INTERRUPTED, SOME_FAILED, USAGE, Outcome
from wsi.errors import SlideError

CRASHED = 1
"""Exit code of a workflow that ended by an error that nobody expected."""

FULL = os.strerror(errno.ENOSPC)
"""In what is told of a slide that failed of a full disk; there may be room at another attempt."""
FOR_GOOD = frozenset({errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR})
"""Errors of the system that another attempt does not mend."""


def end_of_outcome(outcome: Outcome) -> End:
    """Say what a result means.

    Where some slides failed, the job failed: whoever waits for all of them must not take it for
    done. The outcome is kept, and says which; the same job again does only those. Where the disk
    was full, that is done without being asked for.
    """
    code, document = outcome.exit_code, outcome.document
    if code == ALL_GOOD:
        return End("succeeded", exit_code=code, document=document)
    if code == INTERRUPTED:
        return End("cancelled", exit_code=code, document=document)
    if code == SOME_FAILED and any(map(_of_full_disk, document.get("outcomes", ()))):
        return End("lost", "the disk was full", code, document)
    if code == SOME_FAILED:
        return End("failed", _count(document), code, document)
    return End("failed", "it would be refused: the outcome says why", code, document)


def end_of_error(err: BaseException) -> End:
    """Say what an error means: what a person can mend fails, what passes is tried again."""
    sentence = str(err) or type(err).__name__
    if _passes(err):
        return End("lost", sentence)
    if isinstance(err, WorkflowError | ModelError | TilingError | SlideError | OSError):
        return End("failed", sentence, USAGE)
    return End("failed", f"unexpected: {type(err).__name__}: {sentence}", CRASHED)


def _passes(err: BaseException) -> bool:
    """Whether another attempt may go well: a full disk, a lost network, a worker that died."""
    if isinstance(err, StoreError | LeaseError | TrainingError | MemoryError):
        return True
    if isinstance(err, UsageError) and str(err).startswith("--scheduler"):
        return True  # the service has chosen it: it is gone, or its workers are
    if type(err) in (WorkflowError, ModelError):  # processes or workers died
        return True
    is_ours = isinstance(err, WorkflowError | ModelError | TilingError | SlideError)
    return isinstance(err, OSError) and not is_ours and err.errno not in FOR_GOOD


def _of_full_disk(slide: Mapping[str, Any]) -> bool:
    return slide.get("state") == "failed" and FULL in str(slide.get("error"))


def _count(document: dict[str, Any]) -> str:
    slides = document.get("slides")
    counts = slides if isinstance(slides, dict) else {}
    if counts.get("failed"):
        failed, whole = counts["failed"], sum(counts.values())
        return f"{failed} of {whole} slides failed; the outcome says which, and why"
    return "some of it failed; the outcome says what, and why"
