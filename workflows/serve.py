"""`microtome serve`: slides, maps, embeddings and jobs over HTTP, with a viewer."""

import json
import os
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, Literal

from pydantic import Field

from workflows.config import WorkflowConfig, make_config
from workflows.extras import needs
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback

PREFIX = "MICROTOME_SERVE_"
"""Of the environment variables that hold settings, one per field, in JSON where they are lists."""

Port = Annotated[int, Field(ge=0, le=65535)]


class ServeConfig(WorkflowConfig):
    """Serve slides, tissue maps, embeddings and jobs over REST, with a viewer at `/`.

    Every setting may also come from the environment: MICROTOME_SERVE_DATABASE and so on. Without
    any token (`microtome token create`) the service listens on loopback only.
    """

    slides: str | None = None
    """Folder of slides that may be registered; is only read. Clients name paths relative to it."""
    work: str = "microtome-work"
    """Folder of the service: its database, uploads, archives (*.zarr) and what jobs write."""
    archives: tuple[str, ...] = ()
    """Further archives, folders or URLs, beside those in the folder of the service."""
    database: str | None = None
    """URL, such as postgresql+psycopg://user@host/db; by default an SQLite file in the folder."""
    host: str = "127.0.0.1"
    """Address to listen on; any but loopback needs a token."""
    port: Port = 8000
    """Port to listen on; 0 takes a free one."""
    scheduler: str | None = None
    """Address of a running Dask scheduler for jobs; by default workers on this machine."""
    workers: int | None = Field(default=None, ge=1, le=1024)
    """Processes on this machine that do the work of jobs; by default one per core."""
    jobs: int = Field(default=1, ge=0, le=64)
    """Jobs that run at a time; 0 leaves them to other processes on the same database."""
    jobs_per_token: int = Field(default=1000, ge=1)
    """Jobs that one token may have waiting or running."""
    open_slides: int = Field(default=16, ge=1, le=1024)
    """Slides that are kept open."""
    cache_mb: int = Field(default=256, ge=0)
    """Memory for ready tiles, MB."""
    max_upload_gb: float = Field(default=20.0, gt=0)
    """Largest slide that may be uploaded, GB."""
    max_body_kb: int = Field(default=1024, ge=1)
    """Largest other request, kB."""
    requests_per_minute: int = Field(default=60_000, ge=1)
    """Requests that one token, or one address, may make in a minute; tiles count too."""
    cors_origins: tuple[str, ...] = ()
    """Origins of web pages that may ask this service, such as https://viewer.example.org."""
    hosts: tuple[str, ...] = ()
    """Names under which the service is reached, beside loopback's; by default any, with tokens."""
    log_format: Literal["json", "text"] = "json"
    """How requests and jobs are logged on stderr."""


def run(config: ServeConfig, progress: ProgressCallback) -> Outcome:
    """Serve until stopped; what was given wins over the environment.

    Raises:
        UsageError: settings that make no sense, an address that is taken, or a public one without
            any token.
        MissingExtraError: the extra `service` is not installed.
    """
    settings = settled(config, os.environ)
    with needs("service"):
        server = import_module("service.server")
    return Outcome({"served": server.serve(settings)}, told=True)


def settled(config: ServeConfig, environ: Mapping[str, str]) -> ServeConfig:
    """Add what the environment says to what was given.

    Raises:
        UsageError: a value of the environment makes no sense.
    """
    given = {name: getattr(config, name) for name in config.model_fields_set}
    return make_config(ServeConfig, _given(environ) | given)


def from_environment(environ: Mapping[str, str]) -> ServeConfig:
    """Read the settings from variables.

    Raises:
        UsageError: a value makes no sense.
    """
    return make_config(ServeConfig, _given(environ))


TEXTS = ("slides", "work", "database", "host", "scheduler", "log_format")


def _given(environ: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: _value(environ[PREFIX + name.upper()], text=name in TEXTS)
        for name in ServeConfig.model_fields
        if PREFIX + name.upper() in environ
    }


def _value(word: str, *, text: bool) -> Any:
    if text:
        return word
    try:
        return json.loads(word)
    except ValueError:  # pydantic says what is wrong with it
        return word
