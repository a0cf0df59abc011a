"""What the application takes of this folder: the pages, and their files as long as it runs."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, FastAPI

from service.viewer import pages
from service.viewer.files import read_files

ROUTERS: tuple[APIRouter, ...] = (pages.router,)


@contextmanager
def opened(app: FastAPI) -> Iterator[None]:
    """Read the files of the pages: `app.state.viewer`, by path."""
    app.state.viewer = read_files()
    yield
