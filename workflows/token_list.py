"""`microtome token list`: the tokens of the service, without their secrets."""

from workflows.outcome import Outcome
from workflows.progress import ProgressCallback
from workflows.tokens import TokenConfig, ask


class TokenListConfig(TokenConfig):
    """List the tokens: names, scopes, when each was used last, and which still open the door."""


def run(config: TokenListConfig, progress: ProgressCallback) -> Outcome:
    """List them.

    Raises:
        UsageError: the folder or the database cannot be used.
        MissingExtraError: the extra `service` is not installed.
    """
    return Outcome({"tokens": ask("listed", config)})
