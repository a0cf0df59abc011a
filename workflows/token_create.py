"""`microtome token create`: a token for a person or a program."""

from typing import Literal

from pydantic import Field

from workflows.outcome import Outcome
from workflows.progress import ProgressCallback
from workflows.tokens import TokenConfig, ask


class TokenCreateConfig(TokenConfig):
    """Make a token; it is shown once, and only its hash is kept.

    From the first token on the service lets nobody in without one.
    """

    name: str = Field(min_length=1, max_length=100)
    """Whose it is; the record of who did what says it."""
    scopes: tuple[Literal["read", "submit", "admin", "phi"], ...] = Field(("read",), min_length=1)
    """What it allows: read, submit (jobs, uploads), admin (tokens, metrics, deleting), phi
    (patients, labels of slides)."""
    days: float | None = Field(default=None, gt=0, le=36_500)
    """Days until it expires; by default never."""


def run(config: TokenCreateConfig, progress: ProgressCallback) -> Outcome:
    """Make the token.

    Raises:
        UsageError: the folder or the database cannot be used.
        MissingExtraError: the extra `service` is not installed.
    """
    return Outcome(ask("create", config, name=config.name, scopes=config.scopes, days=config.days))
