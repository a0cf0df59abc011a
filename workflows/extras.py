"""Optional packages: one line that says what to install when one is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

OURS = ("wsi", "tiling", "models", "workflows", "service")


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Import inside this what the extra brings.

    Raises:
        MissingExtraError: a package of the extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as err:
        missing = (err.name or "").partition(".")[0]
        if not missing or missing in OURS:
            raise
        from models.errors import MissingExtraError

        raise MissingExtraError(
            f"{missing} is not installed; this needs: pip install 'microtome[{extra}]'"
        ) from err
