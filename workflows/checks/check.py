"""What a check gives back."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: what was looked at.
        state: `ok`; `note`, works but could be better; `fail`, `tile` will not work.
        found: what was seen.
        advice: what to do, where the state is not `ok`.
    """

    name: str
    state: Literal["ok", "note", "fail"]
    found: str
    advice: str = ""

    def document(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return asdict(self)
