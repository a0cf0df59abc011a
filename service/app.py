"""The application: `create_app()` puts the areas together, routes and what they need."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from importlib import metadata

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from service.archives import Archives
from service.auth import area as auth
from service.content import area as content
from service.database import Database
from service.jobs import area as jobs
from service.observe import area as observe
from service.openapi import install_openapi
from service.problems import install_problems
from service.schema import migrate
from service.settings import read_settings
from service.slides import area as slides
from service.slides.gate import TileGate
from service.viewer import area as viewer
from service.wire.stack import install_stack
from service.work import database_url, work_folder
from workflows.serve import ServeConfig

AREAS = (observe, auth, slides, content, jobs, viewer)
"""In the order in which they open; each may use what those before it brought."""

ABOUT = "Whole-slide images, tissue maps, embeddings, and the jobs that make them."


def create_app(settings: ServeConfig | None = None) -> FastAPI:
    """Make the application; nothing is opened before it starts.

    Args:
        settings: by default those of the environment.
    """
    app = FastAPI(
        title="microtome",
        version=metadata.version("microtome"),
        description=ABOUT,
        lifespan=_lifespan,
        docs_url=None,  # the viewer serves them, from this machine
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        redirect_slashes=False,
        generate_unique_id_function=lambda route: str(route.name),
    )
    app.state.settings = settings or read_settings()
    install_problems(app)
    for area in (jobs, slides, content, observe, auth, viewer):  # the busiest first
        for router in area.ROUTERS:
            app.include_router(router)
    app.add_middleware(TileGate)  # innermost: tiles need no route
    install_stack(app)
    install_openapi(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    with ExitStack() as stack:
        stack.enter_context(_shared(app))
        for area in AREAS:
            stack.enter_context(area.opened(app))
        # the first use of a thread loads much, which no client should wait for
        await run_in_threadpool(app.state.jobs.depth)
        yield


@contextmanager
def _shared(app: FastAPI) -> Iterator[None]:
    """Open what all areas use: folder, database, archives."""
    settings: ServeConfig = app.state.settings
    work, database = work_folder(settings), Database(database_url(settings))
    try:
        migrate(database)
        app.state.work, app.state.database = work, database
        app.state.archives = Archives(work, settings.archives)
        yield
    finally:
        database.close()
