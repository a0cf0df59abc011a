"""What can go wrong when the service is asked."""

from typing import Any

import httpx


class ClientError(Exception):
    """Base of every error that the client raises on purpose."""


class ProblemError(ClientError):
    """The service refused; what it says is in problem details (RFC 9457).

    Attributes:
        status: of HTTP.
        title: of the status, in words.
        detail: what was wrong.
        errors: which fields of the request are wrong, and why.
        request_id: for whoever reads the log of the service.
    """

    def __init__(self, answer: httpx.Response) -> None:
        told = _document(answer)
        self.status = answer.status_code
        self.title = str(told.get("title", answer.reason_phrase))
        self.detail = str(told.get("detail", answer.text[:500]))
        self.errors: list[dict[str, Any]] = told.get("errors") or []
        self.request_id = answer.headers.get("x-request-id", "")
        super().__init__(f"{self.status} {self.title}: {self.detail}")


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:  # a proxy in between answered
        return {}
    return told if isinstance(told, dict) else {}
