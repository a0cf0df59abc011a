"""What the application takes of this folder: its routes, and what lives as long as it does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI

from service.content import (
    archiveroutes,
    embeddingroutes,
    maproutes,
    modelroutes,
    patchroutes,
    similarroutes,
)
from service.content.checkpoints import Checkpoints
from service.content.files import MadeFiles
from service.content.maps import Pictures
from service.content.nearest import Neighbours
from service.content.patches import OpenPatches
from service.content.summaries import Summaries

ROUTERS: tuple[APIRouter, ...] = (
    archiveroutes.router,
    maproutes.router,
    patchroutes.router,
    embeddingroutes.router,
    similarroutes.router,
    modelroutes.router,
)

FOLDER = "cache"
"""In the service's folder; may be deleted while the service does not run."""


@dataclass(frozen=True)
class Content:
    """What the routes share.

    Attributes:
        files: that were made.
        pictures: of maps.
        patches: that are read.
        neighbours: of patches.
        checkpoints: in the service's folder.
        summaries: of archives.
    """

    files: MadeFiles
    pictures: Pictures
    patches: OpenPatches
    neighbours: Neighbours
    checkpoints: Checkpoints
    summaries: Summaries


@contextmanager
def opened(app: FastAPI) -> Iterator[None]:
    """Keep it open while the application runs."""
    work, archives = app.state.work, app.state.archives
    files, patches = MadeFiles(work / FOLDER / "files"), OpenPatches()
    files.tidy()
    app.state.content = Content(
        files=files,
        pictures=Pictures(files),
        patches=patches,
        neighbours=Neighbours(archives, work / FOLDER / "similar"),
        checkpoints=Checkpoints(work),
        summaries=Summaries(archives),
    )
    try:
        yield
    finally:
        patches.close()
