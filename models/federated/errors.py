"""What can go wrong between sites; each says whose fault it is."""

from models.errors import ModelError


class ProtocolError(ModelError, ValueError):
    """A message is damaged, of another version or run, or holds what the protocol does not name."""


class QuorumError(ModelError, RuntimeError):
    """Too few sites gave a good answer for a round to count."""
