"""What the application takes of this folder: its routes, and what lives as long as it does."""

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI

from service.jobs import catalogue, events, files, routes
from service.jobs.claims import Claims
from service.jobs.dispatcher import Dispatcher
from service.jobs.finders import Here
from service.jobs.located import Located
from service.jobs.offers import OFFERS
from service.jobs.places import Places
from service.jobs.preparing import Preparation
from service.jobs.queue import Queue
from service.jobs.service import Jobs
from service.jobs.sources import Sources
from service.jobs.timing import Timing
from service.jobs.workers import Cluster
from workflows.serve import ServeConfig

ROUTERS: tuple[APIRouter, ...] = (routes.router, events.router, files.router, catalogue.router)


@contextmanager
def opened(app: FastAPI) -> Iterator[None]:
    """Run jobs; `app.state.job_timing` may set other spans before."""
    settings: ServeConfig = app.state.settings
    database, work = app.state.database, app.state.work
    timing: Timing = getattr(app.state, "job_timing", Timing())
    root = None if settings.slides is None else Path(settings.slides).absolute()
    found = Located(app.state.catalogue, database)
    sources = Sources(root, found.by_id, found.by_path)
    places = Places(Here(work, root, app.state.archives), sources)
    cluster = Cluster(settings.scheduler, settings.workers)
    dispatcher = Dispatcher(
        Claims(database, _owner(), timing),
        Preparation(work, places, cluster, settings.workers),
        cluster,
        clustered=[offer.name for offer in OFFERS.values() if offer.cluster == "workers"],
        at_once=settings.jobs,
        timing=timing,
    )
    queue = Queue(database, settings.jobs_per_token)
    app.state.jobs = Jobs(database, queue, places, dispatcher.wake)
    app.state.cluster = cluster
    dispatcher.start()
    try:
        yield
    finally:
        dispatcher.close()
        cluster.close()


def _owner() -> str:
    """Name this process as no other one is, and so that an operator knows it."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
