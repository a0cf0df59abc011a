"""The life of an underlying file handle: opened late, reopened, pickled closed. Knows no pixels."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from wsi.errors import SlideError, UnreadableSlideError
from wsi.mpp import override_mpp

GivenMpp = float | tuple[float, float] | None


class SharedCache:
    """Memory for decoded blocks that slides open in one process may share.

    Args:
        capacity_bytes: how much it may hold.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.made: dict[str, Any] = {}
        """What readers made of it, by their names."""


class Handle(ABC):
    """What a slide holds open, and the options that open it again elsewhere."""

    def _configure(self, location: str, mpp: GivenMpp, *, icc: bool) -> None:
        self.location = location
        self.retries = 0
        self._given_mpp = mpp
        self._override = override_mpp(mpp)
        self._icc = icc
        self._is_open = False

    def share_cache(self, cache: SharedCache) -> bool:
        """Keep decoded blocks in this memory until the slide is closed; False if it has none."""
        return False

    @abstractmethod
    def _open(self) -> None:
        """Acquire the underlying handle, or raise."""

    @abstractmethod
    def _close(self) -> None:
        """Release the underlying handle; called only while it is open."""

    def _ensure_open(self) -> None:
        if not self._is_open:
            with self._translated("cannot be opened"):
                self._open()
            self._is_open = True

    @contextmanager
    def _translated(self, failure: str) -> Iterator[None]:
        """Turn whatever a damaged file makes a library raise into an UnreadableSlideError."""
        try:
            yield
        except SlideError:
            raise
        except Exception as err:
            cause = str(err) or type(err).__name__
            raise UnreadableSlideError(f"{self.location}: {failure}: {cause}") from err

    def reopen(self) -> None:
        """Close and open again, for instance after an error."""
        self.close()
        self._ensure_open()

    def close(self) -> None:
        """Release the file; the next use opens it again."""
        if self._is_open:
            self._is_open = False
            self._close()

    def __enter__(self) -> Self:
        """Return the slide itself; it is open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close, whatever happened."""
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as (class, location, options): no handle crosses a process border."""
        return _closed, (type(self), self.location, self._given_mpp, {"icc": self._icc})

    def __repr__(self) -> str:
        """Name the class and the location."""
        return f"{type(self).__name__}({self.location!r})"


def _closed(kind: type[Handle], location: str, mpp: GivenMpp, options: dict[str, bool]) -> Handle:
    handle = kind.__new__(kind)
    handle._configure(location, mpp, **options)
    return handle
