"""Cores and memory, as this process may use them."""

import os
from collections.abc import Iterator
from pathlib import Path

from workflows.checks.check import Check
from workflows.cluster import cores

WORKER_BYTES = 600 << 20
"""What one worker holds at most."""


def check_machine() -> Iterator[Check]:
    """Count cores, and see whether memory suffices for a worker on each."""
    count = cores()
    yield Check("cores", "ok", f"{count}")
    free = _memory()
    if free is None:
        yield Check("memory", "note", "this system does not tell", "0.6 GB per worker are needed")
        return
    found = f"{free / 1e9:.1f} GB available"
    if free < WORKER_BYTES:
        yield Check("memory", "fail", found, "one worker may need 0.6 GB; free some memory")
    elif free < count * WORKER_BYTES:
        advice = f"use --workers {free // WORKER_BYTES}: each may need 0.6 GB"
        yield Check("memory", "note", found, advice)
    else:
        yield Check("memory", "ok", found)


def _memory() -> int | None:
    """Bytes that new processes may take: what the system has, and what a container allows."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free = int(lines.get("MemAvailable", "0 kB").split()[0]) * 1024 or free
    return min(free, _container_limit() or free)


def _container_limit() -> int | None:
    """Memory limit of control groups, version 2 and 1."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        path = Path("/sys/fs/cgroup", name)
        try:
            return int(path.read_text())
        except (OSError, ValueError):  # not there, or "max"
            continue
    return None
