"""IDs that survive a consumer: as a file's stem, and through a CSV."""

import re
from collections.abc import Iterable

from models.errors import BagError

NUMBER = re.compile(
    r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.IGNORECASE
)
NOT_TEXT = re.compile(
    r"|#n/a( n/a)?|#na|-?1\.#(ind|qnan)|-?nan|<na>|n/a|na|none|null|true|false", re.IGNORECASE
)
"""What pandas reads as missing or as a truth value by default."""


def misread(name: str) -> bool:
    """Whether a CSV reader takes an ID for a number, a truth value or for missing."""
    return NUMBER.fullmatch(name) is not None or NOT_TEXT.fullmatch(name) is not None


def require_csv_names(names: Iterable[str]) -> None:
    """Refuse IDs of slides and patients that come out of a CSV as something else.

    Raises:
        BagError: there are such IDs; the message names the first of them.
    """
    bad = sorted({name for name in names if misread(name)})
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise BagError(
            f"these IDs are read as numbers or as missing from a CSV: {', '.join(bad[:5])}{more}; "
            "put something before every ID with --prefix-ids, such as --prefix-ids s"
        )


def require_distinct_stems(names: Iterable[str]) -> None:
    """Refuse names that are one file on a file system that ignores case.

    Raises:
        BagError: there are such names.
    """
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(name.casefold(), name)
        if first != name:
            raise BagError(f"{first!r} and {name!r} are one file where case is ignored")
