"""Pages of a list by cursor: opaque to the client, stable while the list grows."""

import base64
import binascii
import json
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from service.errors import InvalidError

Item = TypeVar("Item")

LARGEST = 2**31 - 1
"""Number of a row; databases refuse larger ones."""

Limit = Annotated[int, Query(ge=1, le=500, description="Most entries of a page.")]
Cursor = Annotated[
    str | None, Query(max_length=400, description="`next_cursor` of the page before.")
]


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_cursor: str | None = None
    """Cursor of the next page; null on the last one."""


def to_cursor(*key: Any) -> str:
    """Make a cursor of the key of a page's last entry, JSON values."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def number_of(cursor: str) -> int:
    """Read the key of a list by number.

    Raises:
        InvalidError: it is no cursor of this list, or of no row that can be.
    """
    number: int = from_cursor(cursor, int)[0]
    if not 0 <= number <= LARGEST:
        raise InvalidError(f"{cursor!r} is no cursor of this list")
    return number


def from_cursor(cursor: str, *kinds: type) -> list[Any]:
    """Read the key again.

    Raises:
        InvalidError: it is no cursor of this list.
    """
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error) as err:
        raise InvalidError(f"{cursor!r} is no cursor of this list") from err
    right = isinstance(key, list) and len(key) == len(kinds)
    if not right or not all(type(one) is kind for one, kind in zip(key, kinds, strict=True)):
        raise InvalidError(f"{cursor!r} is no cursor of this list")
    return list(key)
