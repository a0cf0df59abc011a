"""What the application takes of this folder: its routes, and what lives as long as it does."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry, disable_created_metrics

from service.observe.checks import Readiness, checks_of
from service.observe.metrics import Asked, RequestMetrics
from service.observe.routes import router

ROUTERS: tuple[APIRouter, ...] = (router,)


@contextmanager
def opened(app: FastAPI) -> Iterator[None]:
    """Count while the application runs."""
    # they would be a second series for each, which nobody asks for
    disable_created_metrics()  # type: ignore[no-untyped-call]  # it says no types
    app.state.registry = CollectorRegistry()
    app.state.metrics = RequestMetrics(app.state.registry)
    app.state.readiness = Readiness(checks_of(app))
    for collector in _asked(app):
        app.state.registry.register(collector)
    yield


def _asked(app: FastAPI) -> tuple[Asked, ...]:
    """Give what other areas know; they open later, so they are asked only when somebody looks."""

    def depth() -> Mapping[str, float]:
        jobs = getattr(app.state, "jobs", None)
        return {} if jobs is None else dict(jobs.depth())

    def memory() -> Mapping[str, float]:
        cluster = getattr(app.state, "cluster", None)
        return {} if cluster is None else dict(cluster.memory())

    return (
        Asked("microtome_jobs", "Jobs in each state.", "state", depth),
        Asked("microtome_worker_memory_bytes", "Memory of each worker.", "worker", memory),
    )
