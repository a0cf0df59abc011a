"""What machines ask: is it alive, is it ready, which version, which numbers."""

import functools
import platform
from importlib import metadata
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from service.auth.access import bearer, identify
from service.auth.origins import host_name, is_local, is_loopback
from service.errors import UnavailableError
from service.observe.checks import readiness_of
from service.problems import problems

router = APIRouter(tags=["operation"])
TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Everything that requests and jobs need is there."""

    status: Literal["ok"] = "ok"
    checks: dict[str, str] = Field(examples=[{"database": "ok", "storage": "ok", "cluster": "ok"}])


class Version(BaseModel):
    """What answers here."""

    name: str = Field("microtome", examples=["microtome"])
    version: str = Field(examples=["0.1.0"])
    api: str = Field("v1", examples=["v1"])
    python: str = Field(examples=["3.11.9"])


@router.get("/healthz")
async def healthz() -> Alive:
    """Say that the process is alive."""
    return Alive()


@router.get("/readyz", responses=problems(503))
async def readyz(request: Request) -> Ready:
    """Say whether database, storage and cluster answer."""
    found = await readiness_of(request.app).ask()
    wrong = [said for said in found.values() if said != "ok"]
    if wrong:
        raise UnavailableError("; ".join(wrong))
    return Ready(checks=found)


@router.get("/version")
async def version() -> Version:
    """Say which version this is."""
    return _version()


@functools.cache
def _version() -> Version:
    """Read what is installed once; it is looked for in every folder of packages."""
    return Version(version=metadata.version("microtome"), python=platform.python_version())


async def _operator(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> None:
    """Let in the scope `admin`, and who scrapes from this machine."""
    named = is_loopback(host_name(request.headers))
    if credentials is None and is_local(request) and named:
        return
    (await identify(request, credentials)).require("admin")


@router.get(
    "/metrics",
    response_class=Response,
    responses=TEXT | problems(401, 403),
    dependencies=[Depends(_operator)],
)
def metrics(request: Request) -> Response:
    """Give the numbers of this process in the format of Prometheus."""
    return Response(
        generate_latest(request.app.state.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )
