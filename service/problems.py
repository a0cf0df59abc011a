"""Errors as problem details (RFC 9457): one table from exception to status, for every route."""

import http
import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from service.errors import (
    BusyError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    SlowError,
    StateError,
    TooLargeError,
    TooManyError,
    UnauthorizedError,
    UnavailableError,
)
from tiling.errors import CorruptStoreError, StoreError
from wsi.errors import InvalidRequestError, RegionError, SlideError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUS: dict[type[Exception], int] = {
    NotFoundError: 404,
    InvalidError: 422,
    UnauthorizedError: 401,
    ForbiddenError: 403,
    SlowError: 408,
    StateError: 409,
    TooLargeError: 413,
    TooManyError: 429,
    UnavailableError: 503,
    OperationalError: 503,  # the database is gone, or busy for longer than it may be
    InterfaceError: 503,
    PoolTimeoutError: 503,  # all of its connections are in use
    DataError: 422,
    InvalidRequestError: 422,
    RegionError: 502,
    CorruptStoreError: 502,
    SlideError: 502,
    StoreError: 503,
}
"""502: what is stored behind this service is damaged. A class stands for those derived from it."""
FULL = ("disk is full", "No space left", "could not extend file")
"""In what SQLite and PostgreSQL say where there is no room."""
WITHOUT_BODY = (204, 304)
"""Statuses that HTTP lets have no body; 304 says that the client has the newest version."""


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no slide 'CMU-2'"])
    instance: str = Field(examples=["/api/v1/slides/CMU-2"])
    errors: list[dict[str, Any]] | None = None
    """Which fields of the request are wrong, and why."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe these statuses for OpenAPI: `@router.get(…, responses=problems(404))`."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": http.HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }


def problem_response(
    request: Request,
    status: int,
    detail: str,
    *,
    errors: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Answer with problem details."""
    problem = Problem(
        title=http.HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        errors=errors,
    )
    content = problem.model_dump(exclude_none=True)
    return JSONResponse(content, status, headers, MEDIA_TYPE)


def install_problems(app: FastAPI) -> None:
    """Answer every error of a route with problem details."""
    for kind in STATUS:
        app.add_exception_handler(kind, _expected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _expected(request: Request, err: Exception) -> JSONResponse:
    status = next(STATUS[kind] for kind in type(err).__mro__ if kind in STATUS)
    headers: dict[str, str] = {}
    if isinstance(err, TooManyError | BusyError):
        headers["Retry-After"] = str(max(1, round(err.retry_after_s)))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status >= 500:
        log.warning("%s: %s", request.url.path, err)
    return problem_response(request, status, _sentence(err), headers=headers)


def _sentence(err: Exception) -> str:
    """Say what is wrong; what a database says holds SQL, which is nobody's business."""
    if isinstance(err, DataError):
        return "a value of the request is none that the database can hold"
    if isinstance(err, SQLAlchemyError):
        is_full = any(sign in str(err.args[:1]) for sign in FULL)
        return "the disk of the service is full" if is_full else "the database does not answer"
    if type(err) is StoreError:  # the archives' own words say where they lie
        return "an archive cannot be read now"
    return str(err)


async def _invalid(request: Request, err: Exception) -> JSONResponse:
    assert isinstance(err, RequestValidationError)  # what it is registered for
    errors = [{"where": ".".join(map(str, one["loc"])), "why": one["msg"]} for one in err.errors()]
    sentence = "; ".join(f"{one['where']}: {one['why']}" for one in errors)
    return problem_response(request, 422, sentence, errors=errors)


async def _http(request: Request, err: Exception) -> Response:
    assert isinstance(err, HTTPException)  # what it is registered for
    headers = dict(err.headers) if err.headers else None
    if err.status_code in WITHOUT_BODY:
        return Response(status_code=err.status_code, headers=headers)
    return problem_response(request, err.status_code, str(err.detail), headers=headers)


async def _unexpected(request: Request, err: Exception) -> JSONResponse:
    log.error("%s: unexpected", request.url.path, exc_info=err)
    headers = {
        "Content-Security-Policy": "default-src 'none'",  # this answer passes no middleware
        "X-Content-Type-Options": "nosniff",
        "X-Request-ID": str(getattr(request.state, "request_id", "")),
    }
    detail = "an error of the service; its log says more"
    return problem_response(request, 500, detail, headers=headers)
