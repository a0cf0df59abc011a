"""Encoders: one table of names, their weights, layers and cards. Nothing here trains."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.encoders.card import EncoderCard
    from models.encoders.checkpoint import read_card, save_checkpoint
    from models.encoders.encoder import Encoder
    from models.encoders.known import Known
    from models.encoders.opening import open_encoder
    from models.encoders.table import known_encoders

__all__ = [
    "Encoder",
    "EncoderCard",
    "Known",
    "known_encoders",
    "open_encoder",
    "read_card",
    "save_checkpoint",
]

_HOMES = {
    "Encoder": "models.encoders.encoder",
    "EncoderCard": "models.encoders.card",
    "Known": "models.encoders.known",
    "known_encoders": "models.encoders.table",
    "open_encoder": "models.encoders.opening",
    "read_card": "models.encoders.checkpoint",
    "save_checkpoint": "models.encoders.checkpoint",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that cards are read without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
