"""`microtome token revoke`: a token that opens nothing any more."""

from typing import Annotated

from pydantic import Field

from workflows.config import POSITIONAL
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback
from workflows.tokens import TokenConfig, ask


class TokenRevokeConfig(TokenConfig):
    """Revoke a token; a running service refuses it two seconds later."""

    token: Annotated[int, Field(ge=1, lt=2**31), POSITIONAL]
    """Its number, which `microtome token list` shows and which follows mt_ in the token."""


def run(config: TokenRevokeConfig, progress: ProgressCallback) -> Outcome:
    """Revoke it.

    Raises:
        UsageError: there is no such token, or the database cannot be used.
        MissingExtraError: the extra `service` is not installed.
    """
    return Outcome({"revoked": ask("revoke", config, token_id=config.token)})
