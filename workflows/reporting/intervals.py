"""Scores, their intervals and p-values as a person reads them; filters of pages."""

from collections.abc import Mapping
from typing import Any


def interval(found: Mapping[str, Any] | None) -> str:
    """Write 0.812 (0.754 to 0.866); a score that is not defined says so."""
    if not found:
        return "not defined"
    if found["low"] is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def signed(found: Mapping[str, Any]) -> str:
    """Write a difference, +0.041 (-0.010 to +0.092)."""
    if found["low"] is None:
        return f"{found['value']:+.3f}"
    return f"{found['value']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})"


def p_value(value: float | None) -> str:
    """Write a p-value; nothing where there is none."""
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
