"""The order in which a request passes all this."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from service.observe.requests import Requests
from service.wire.compression import JsonGzip
from service.wire.headers import SafeHeaders
from service.wire.hosts import Hosts
from service.wire.letters import Letters
from service.wire.rates import Rates
from service.wire.sizes import Sizes
from workflows.serve import ServeConfig

SHOWN = (
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "Retry-After",
    "Upload-Offset",
    "X-Request-ID",
)
"""Headers of an answer that a page of another origin may read."""


def install_stack(app: FastAPI) -> None:
    """Let every request pass these."""
    settings: ServeConfig = app.state.settings
    app.state.stopping = False  # set by the server, so that streams end
    app.add_middleware(JsonGzip)  # the last one that is added sees a request first
    app.add_middleware(Letters)
    app.add_middleware(Sizes, most_bytes=settings.max_body_kb * 1024)
    app.add_middleware(Rates, per_minute=settings.requests_per_minute)
    app.add_middleware(Hosts, names=settings.hosts)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "HEAD", "POST", "PATCH", "DELETE"),
            allow_headers=("*",),
            expose_headers=SHOWN,
        )
    app.add_middleware(SafeHeaders, shared=bool(settings.cors_origins))
    app.add_middleware(Requests)
