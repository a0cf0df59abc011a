"""Requests: errors as exceptions, and patience where trying again changes nothing."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.client.errors import ProblemError

BUSY = (429, 503)
LONGEST_PAUSE_S = 30.0
BLOCK_BYTES = 1 << 20
REPEATABLE = ("GET", "HEAD", "PUT", "DELETE")


class Transport:
    """Asks one service.

    Args:
        url: of the service, such as http://127.0.0.1:8000.
        token: shown with every request.
        timeout_s: within which the service must answer, or send the next part.
        tries: how often a request is made that may be repeated, where the service is busy or gone.
    """

    def __init__(self, url: str, token: str | None, timeout_s: float, tries: int) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._tries = tries
        self.http = httpx.Client(
            base_url=url.rstrip("/") + "/api/v1/", headers=headers, timeout=timeout_s
        )

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask, and give the whole answer.

        Args:
            method: of HTTP.
            path: below /api/v1/.
            more: as httpx takes it.

        Raises:
            ProblemError: the service refuses.
            httpx.TransportError: it cannot be reached.
        """
        repeatable = method in REPEATABLE or "Idempotency-Key" in (more.get("headers") or {})
        for attempt in range(1, self._tries + 1):
            last = attempt == self._tries or not repeatable
            try:
                answer = self.http.request(method, path, **more)
            except httpx.TransportError:
                if last:
                    raise
                time.sleep(_pause_s(None, attempt))
                continue
            if answer.status_code not in BUSY or last:
                return checked(answer)
            time.sleep(_pause_s(answer, attempt))
        raise AssertionError("the last try returns or raises")

    def json(self, method: str, path: str, **more: Any) -> Any:
        """Ask, and give what the JSON of the answer says."""
        return self.ask(method, path, **more).json()

    @contextmanager
    def streaming(self, path: str, **more: Any) -> Iterator[httpx.Response]:
        """Ask, and give the answer while it comes.

        Raises:
            ProblemError: the service refuses.
        """
        with self.http.stream("GET", path, **more) as answer:
            if answer.is_error:
                answer.read()
            yield checked(answer)

    def save(self, path: str, to: Path | str, **more: Any) -> Path:
        """Save an answer as a file, which is there only when it is whole."""
        target = Path(to)
        part = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with self.streaming(path, **more) as answer, part.open("wb") as file:
                for block in answer.iter_bytes(BLOCK_BYTES):
                    file.write(block)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Give the entries of a list, page by page."""
        given = {name: value for name, value in params.items() if value is not None}
        while True:
            page = self.json("GET", path, params=given)
            yield from page["items"]
            if page["next_cursor"] is None:
                return
            given["cursor"] = page["next_cursor"]


def checked(answer: httpx.Response) -> httpx.Response:
    """Give an answer that is no refusal.

    Raises:
        ProblemError: it is one.
    """
    if answer.is_error:
        raise ProblemError(answer)
    return answer


def _pause_s(answer: httpx.Response | None, attempt: int) -> float:
    """Give as long a pause as the service wants, or twice the last one."""
    wanted = "" if answer is None else answer.headers.get("retry-after", "")
    pause = float(wanted) if wanted.isdecimal() else 0.5 * 2**attempt
    return min(pause, LONGEST_PAUSE_S)
