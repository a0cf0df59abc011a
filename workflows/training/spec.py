"""What is trained: a function by its name, its arguments, and the folder that it goes on from."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

Line = dict[str, Any]
Tell = Callable[[Line], None]
Stop = Callable[[], bool]
Function = Callable[[dict[str, Any], Tell, Stop], dict[str, Any]]

GRACE_S = 60.0
"""Time to finish a step and to save a large model on a slow disk."""
LOCK_S = 90.0
"""Longer than `GRACE_S`, so that a run follows one that is still saving."""


@dataclass(frozen=True)
class Training:
    """A training function and what it is called with.

    The function is `function(arguments, tell, stop) -> result`. It saves checkpoints in the folder,
    and when it is called again with the same arguments it goes on from the last one. Once `stop()`
    is true it saves and returns; processes of one run may see that a step apart, so let rank 0
    decide. Lines that it tells are for watching: some are lost when a worker dies, and steps after
    the last checkpoint are told again. What must last, it writes into its folder.

    Attributes:
        entry: `module:function`, to be imported where it runs.
        arguments: JSON; places in it absolute, as workers start in folders of their own.
        folder: that it saves into, absolute, seen by all workers; one run at a time has it.
        grace_s: seconds from `stop()` to the end, after which the process is killed.
        lock_s: seconds to wait for another run that has the folder.
    """

    entry: str
    arguments: Mapping[str, Any]
    folder: str
    grace_s: float = GRACE_S
    lock_s: float = LOCK_S

    def __post_init__(self) -> None:
        """Check both; what is wrong here is a mistake of the calling code."""
        module, _, function = self.entry.partition(":")
        if not module or not function:
            raise ValueError(f"entry must be module:function, got {self.entry!r}")
        if not Path(self.folder).is_absolute():
            raise ValueError(f"folder must be an absolute path, got {self.folder!r}")

    def document(self) -> dict[str, Any]:
        """Give it as JSON; `Training(**document)` is the way back."""
        return asdict(self)

    def call(self, tell: Tell, stop: Stop) -> dict[str, Any]:
        """Call the function in this process; arguments and result are as JSON gives them back."""
        module, _, name = self.entry.partition(":")
        function: Function = getattr(import_module(module), name)
        arguments = json.loads(json.dumps(dict(self.arguments)))
        result: dict[str, Any] = json.loads(json.dumps(function(arguments, tell, stop)))
        return result


def note(text: str) -> Line:
    """Make a line that is not the function's: what a person should know."""
    return {"kind": "note", "text": text}


def never() -> bool:
    """Answer `stop()` where nobody asks for it."""
    return False
