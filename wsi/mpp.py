"""Microns per pixel: where a value came from, and what counts as one. It never guesses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from wsi.errors import InvalidRequestError

OVERRIDE = "override"


@dataclass(frozen=True, slots=True)
class MppRecord:
    """The decision: microns per pixel of level 0, and the property names it came from.

    `origin` is "override" where the caller gave the value.
    """

    x: float
    y: float
    origin: str

    @property
    def mean(self) -> float:
        """The arithmetic mean of both axes, um/px."""
        return (self.x + self.y) / 2


def parse_mpp(value: object) -> float | None:
    """The value as um/px; None where it is absent, no number, or absurd (<= 0, nan, infinite)."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def mpp_from_properties(
    properties: Mapping[str, str], name_x: str, name_y: str
) -> MppRecord | None:
    """The record of two properties; None unless both hold a usable value."""
    x, y = parse_mpp(properties.get(name_x)), parse_mpp(properties.get(name_y))
    if x is None or y is None:
        return None
    return MppRecord(x, y, f"{name_x}, {name_y}")


def override_mpp(given: float | tuple[float, float] | None) -> MppRecord | None:
    """The caller's own value, one for both axes or (x, y) in um/px; None where none is given.

    Raises:
        InvalidRequestError: a value that is not positive and finite.
    """
    if given is None:
        return None
    x, y = given if isinstance(given, tuple) else (given, given)
    checked_x, checked_y = parse_mpp(x), parse_mpp(y)
    if checked_x is None or checked_y is None:
        raise InvalidRequestError(f"mpp must be positive and finite (um/px), got {given!r}")
    return MppRecord(checked_x, checked_y, OVERRIDE)
