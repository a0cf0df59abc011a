"""What is told of an archive that cannot be read: which part of it, and never where it lies."""

from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import DataError, ModelError
from service.errors import InvalidError, ServiceError, UnavailableError
from tiling.errors import CorruptStoreError, StoreError

LOOKUPS = (KeyError, TypeError, IndexError)
"""What damaged documents raise where nobody expected it."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Tell of what cannot be read without saying where it lies.

    Args:
        what: is read, such as `the map 'a' of CMU-1`.

    Raises:
        CorruptStoreError: it is damaged.
        InvalidError: it cannot be made into what is asked for.
        UnavailableError: the storage does not answer, or is full.
    """
    try:
        yield
    except ServiceError:
        raise
    except ImportError as err:
        raise UnavailableError(f"{what} needs more than is installed: microtome[models]") from err
    except (CorruptStoreError, FileNotFoundError, *LOOKUPS) as err:
        raise CorruptStoreError(f"{what} is damaged") from err
    except DataError as err:
        raise InvalidError(f"{what}: {err}") from err
    except (ModelError, ValueError, RuntimeError) as err:
        raise CorruptStoreError(f"{what} is damaged") from err
    except (StoreError, OSError) as err:
        raise UnavailableError(f"{what} cannot be read now") from err
