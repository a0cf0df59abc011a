"""Errors that cross a process: as JSON on one side, raised again on the other."""

import signal
import traceback
from importlib import import_module
from typing import Any

from workflows.errors import TrainingError

OURS = ("wsi.errors", "tiling.errors", "models.errors", "workflows.errors")
"""Modules whose errors are told in a sentence, and keep their class."""
LAST_LINES = 20
"""Lines of a traceback or of stderr that are told: the innermost frames and the message."""


def describe(err: Exception) -> dict[str, Any]:
    """Give an error as JSON."""
    trace = "".join(traceback.format_exception(err))
    kind = type(err)
    return _document(kind.__module__, kind.__qualname__, str(err), trace)


def describe_death(code: int, stderr: str) -> dict[str, Any]:
    """Give the end of a process without a word as JSON.

    Args:
        code: that it ended with; negative for a signal.
        stderr: what it wrote there.
    """
    text = f"the process ended with code {code} and without a result"
    if code < 0:
        text = f"the process was killed by signal {-code} ({signal.strsignal(-code)})"
        text += ", probably for want of memory" if code == -signal.SIGKILL else ""
    return _document("", "", text, stderr)


def rebuild(failure: dict[str, Any]) -> Exception:
    """Make the error again: of the same class if it is one of ours."""
    if failure["module"] in OURS:
        kind: type[Exception] = getattr(import_module(failure["module"]), failure["type"])
        return kind(failure["text"])
    what = ": ".join(part for part in (failure["type"], failure["text"]) if part)
    return TrainingError("\n".join(["training failed: " + what, *failure["trace"]]))


def result_of(outcome: dict[str, Any]) -> dict[str, Any]:
    """Give the result of a training elsewhere, or raise what it failed of."""
    if "error" in outcome:
        raise rebuild(outcome["error"])
    result: dict[str, Any] = outcome["result"]
    return result


def _document(module: str, kind: str, text: str, trace: str) -> dict[str, Any]:
    last = trace.splitlines()[-LAST_LINES:]
    return {"module": module, "type": kind, "text": text, "trace": last}
