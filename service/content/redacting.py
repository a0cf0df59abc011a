"""Cards and records without the folders that they name: those are this machine's own affair."""

import re
from pathlib import PurePosixPath
from typing import Any

PLACE = re.compile(r"(?:/|~|[A-Za-z]:[\\/]|[A-Za-z][A-Za-z0-9+.-]*://).*", re.DOTALL)
"""A whole path, or a URL."""


def without_places(known: Any) -> Any:
    """Give JSON values in which only the last part is left of every path and URL."""
    if isinstance(known, dict):
        return {str(key): without_places(value) for key, value in known.items()}
    if isinstance(known, list | tuple):
        return [without_places(value) for value in known]
    if isinstance(known, str) and PLACE.fullmatch(known):
        return PurePosixPath(known.replace("\\", "/")).name
    return known
