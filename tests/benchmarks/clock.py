"""Rates, and the table that they end up in."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass


def rate(count: int, work: Callable[[], object], repeats: int = 3) -> float:
    """Give the best of `repeats`, in things per second."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return count / best


@dataclass(frozen=True)
class Row:
    """One measurement: the value, what it is compared with, and the ratio that was aimed at."""

    name: str
    value: float
    unit: str
    against: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None


def at_least(name: str, value: float, base: float, target: float, against: str) -> Row:
    """Give a row whose ratio must reach `target`."""
    ratio = value / base
    return Row(name, value, "patches/s", against, ratio, f">= {target:g}", ratio >= target)


def at_most(name: str, value: float, limit: float, unit: str) -> Row:
    """Give a row whose value must stay within `limit`."""
    return Row(name, value, unit, target=f"<= {limit:g}", met=value <= limit)


def as_markdown(rows: list[Row]) -> str:
    """Lay the rows out for docs/performance.md."""
    lines = ["| what | measured | against | ratio | target | met |", "|---|---|---|---|---|---|"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        met = {None: "", True: "yes", False: "**no**"}[row.met]
        value = f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:.2f}"
        cells = (row.name, f"{value} {row.unit}", row.against, ratio, row.target, met)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def own_environment() -> dict[str, str]:
    """Give the environment for a command in a process of its own.

    Without what Dask has put into this process when it started workers (one thread for OpenMP,
    another use of memory): whoever runs the command has none of it.
    """
    import dask

    put = dask.config.get("distributed.nanny.pre-spawn-environ", {})
    return {name: value for name, value in os.environ.items() if name not in put}
