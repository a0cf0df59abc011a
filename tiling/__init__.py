"""From slides to an archive of patches, and back out of it for training. No torch here."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiling.reader import PatchReader
    from tiling.store import Archive, PatchStore

__all__ = ["Archive", "PatchReader", "PatchStore"]

_HOMES = {"Archive": "tiling.store", "PatchReader": "tiling.reader", "PatchStore": "tiling.store"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that no command pays for all of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
