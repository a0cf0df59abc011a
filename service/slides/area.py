"""What the application takes of this folder: its routes, and what lives as long as it does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry, Gauge

from service.slides.catalogue import Catalogue
from service.slides.describing import Patients
from service.slides.pool import SlidePool
from service.slides.regions import RegionTurns
from service.slides.registering import Registrar
from service.slides.routes import catalogue, pictures, tiles, uploads
from service.slides.tiles import TileServer
from service.slides.uploads import Uploads
from workflows.serve import ServeConfig

# `….dzi` before `/{slide_id}`, which would match it too.
ROUTERS: tuple[APIRouter, ...] = (
    tiles.router,
    pictures.router,
    catalogue.router,
    uploads.router,
)


@contextmanager
def opened(app: FastAPI) -> Iterator[None]:
    """Keep slides open, and ready tiles at hand, while the application runs."""
    state, settings = app.state, app.state.settings
    state.catalogue = _catalogue(app, settings)
    state.registrar = Registrar(state.database, state.catalogue)
    most_bytes = round(settings.max_upload_gb * 1e9)
    state.uploads = Uploads(
        state.database, state.registrar, state.catalogue, state.work, most_bytes
    )
    state.patients = Patients(state.archives)
    state.pool = SlidePool(settings.open_slides)
    state.region_turns = RegionTurns()
    cache_bytes = settings.cache_mb * 1_000_000
    state.tiles = TileServer(state.catalogue, state.pool, cache_bytes, state.registry)
    _count_open(state.pool, state.registry)
    try:
        yield
    finally:
        state.tiles.close()
        state.pool.close()


def _catalogue(app: FastAPI, settings: ServeConfig) -> Catalogue:
    slides = None if settings.slides is None else Path(settings.slides).absolute()
    return Catalogue(app.state.database, app.state.archives, app.state.work, slides)


def _count_open(pool: SlidePool, registry: CollectorRegistry) -> None:
    gauge = Gauge("microtome_open_slides", "Slides that are open.", registry=registry)
    gauge.set_function(lambda: pool.open_count)
