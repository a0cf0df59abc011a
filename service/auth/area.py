"""What the application takes of this folder: its routes, and what lives as long as it does."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, FastAPI

from service.auth import audit_routes, routes, token_routes
from service.auth.audit import Audit
from service.auth.tokens import Tokens

ROUTERS: tuple[APIRouter, ...] = (routes.router, token_routes.router, audit_routes.router)


@contextmanager
def opened(app: FastAPI) -> Iterator[None]:
    """Tell callers apart, and take note of what they do."""
    app.state.tokens = Tokens(app.state.database, app.state.settings)
    app.state.audit = Audit(app.state.database)
    yield
