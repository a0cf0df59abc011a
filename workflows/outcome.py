"""What a workflow gives back: plain JSON values for machines, and whether all went well."""

from dataclasses import dataclass
from typing import Any

ALL_GOOD = 0
USAGE = 2
SOME_FAILED = 3
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a workflow.

    Attributes:
        document: JSON values; what `--json` prints and what tables are made of.
        exit_code: 0 all good, 3 some slides or checks failed.
        told: another process of the same run tells of it.
    """

    document: dict[str, Any]
    exit_code: int = ALL_GOOD
    told: bool = False
