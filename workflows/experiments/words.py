"""Numbers of experiments as words of a table."""

from collections.abc import Mapping
from typing import Any

Scores = Mapping[str, Any] | None

NONE = "-"
"""Stands for what was not run or is not defined."""

METRIC_NAMES = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_auroc": "Macro AUROC",
}


def percent(share: float) -> str:
    """Write a share, 25 %."""
    return f"{100 * share:g} %"


def deviating(found: Scores, digits: int = 3, scale: float = 1.0) -> str:
    """Write a mean with its deviation over seeds, 0.512 ± 0.031; nothing after it of one seed."""
    if not found:
        return NONE
    value = f"{scale * found['value']:.{digits}f}"
    return value if found["sd"] is None else f"{value} ± {scale * found['sd']:.{digits}f}"


def spanning(found: Scores, form: str = ".3f") -> str:
    """Write a mean with its interval and its deviation, 0.512 (0.440 to 0.590) ± 0.031."""
    if not found:
        return NONE
    ends = ""
    if found["low"] is not None:
        ends = f" ({found['low']:{form}} to {found['high']:{form}})"
    deviation = "" if found["sd"] is None else f" ± {found['sd']:.3f}"
    return f"{found['value']:{form}}{ends}{deviation}"


def differing(found: Scores) -> str:
    """Write a difference with its interval and its deviation over seeds."""
    if not found:
        return NONE
    return spanning(found["difference"] | {"sd": found["sd"]}, "+.3f")


def is_sure(found: Scores) -> bool:
    """Tell whether the interval of a difference does not hold zero."""
    if not found or found["difference"]["low"] is None:
        return False
    ends = found["difference"]
    return bool(ends["low"] > 0 or ends["high"] < 0)


def ranged(values: list[int]) -> str:
    """Write counts of several seeds: 73, or 59 to 73."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
