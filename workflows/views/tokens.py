"""What is said of tokens."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.units import plural
from workflows.views.common import Document, new_table, plain

if TYPE_CHECKING:
    from rich.console import RenderableType


def created(document: Document) -> "Iterator[RenderableType]":
    """The token itself, this once."""
    told = document["about"]
    until = f"until {told['expires']}" if told["expires"] else "without end"
    yield plain(f"token    {document['token']}")
    yield plain(f"for      {told['name']}, may {' '.join(told['scopes'])}, {until}")
    yield "it is not shown again; only its hash is kept"


def listing(document: Document) -> "Iterator[RenderableType]":
    """One row per token."""
    tokens = document["tokens"]
    if not tokens:
        yield "there are no tokens: the service lets in who is on its machine, and nobody else"
        return
    table = new_table("#ID", "name", "scopes", "created", "last used", "expires", "state")
    for token in tokens:
        table.add_row(
            str(token["id"]),
            plain(token["name"]),
            " ".join(token["scopes"]),
            *(token[name] or "never" for name in ("created", "last_used", "expires")),
            token["state"],
        )
    yield table
    yield plural(len(tokens), "token")


def revoked(document: Document) -> "Iterator[RenderableType]":
    """Whose it was."""
    token = document["revoked"]
    yield plain(f"revoked  token {token['id']} of {token['name']}")


def served(document: Document) -> "Iterator[RenderableType]":
    """Where the service was."""
    yield plain(f"served   {document['served']}")
