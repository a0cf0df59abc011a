"""From the names in a request to a slide of an archive."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.routing import APIRoute

from service.archives import Archives, Held
from service.errors import NotFoundError
from service.problems import problems

SlideId = Annotated[
    str, Path(max_length=200, description="ID of the slide.", examples=["CMU-1-Small-Region"])
]
MapName = Annotated[str, Path(max_length=128, description="Name of the map.", examples=["tissue"])]
EncoderId = Annotated[
    str, Path(max_length=128, description="Name of the embeddings.", examples=["uni2-h"])
]
ArchiveName = Annotated[
    str | None,
    Query(
        max_length=200,
        description="Archive to look in; by default the first one that holds what is asked for.",
        examples=["demo.zarr"],
    ),
]

FAILS = problems(401, 403, 404, 422, 429, 502, 503)
"""What any of these routes may answer instead."""


def content_router() -> APIRouter:
    """Make a router whose operations are named after their functions."""
    return APIRouter(prefix="/api/v1", generate_unique_id_function=_name)


def _name(route: APIRoute) -> str:
    return route.name


def archives_of(request: Request) -> Archives:
    """Give the archives of the application."""
    archives: Archives = request.app.state.archives
    return archives


def find_slide(request: Request, slide_id: str, archive: str | None) -> Held:
    """Find a slide in the archive that is asked for, or in the first one that holds it.

    Raises:
        NotFoundError: there is none.
    """
    return _first(all_held(request, slide_id, archive), "")


def find_map(request: Request, slide_id: str, archive: str | None, name: str) -> Held:
    """Find a slide with this map.

    Raises:
        NotFoundError: there is no such slide, or map.
    """
    held = all_held(request, slide_id, archive)
    having = [one for one in held if name in one.contents.maps]
    return _first(having, f"{slide_id} has no map {name!r}")


def find_embeddings(request: Request, slide_id: str, archive: str | None, encoder: str) -> Held:
    """Find a slide with embeddings of this encoder.

    Raises:
        NotFoundError: there is no such slide, or it has none.
    """
    held = all_held(request, slide_id, archive)
    having = [one for one in held if encoder in one.contents.embeddings]
    return _first(having, f"{slide_id} has no embeddings of {encoder!r}")


def all_held(request: Request, slide_id: str, archive: str | None) -> list[Held]:
    """Find a slide in all archives, or in the one that is asked for; at least one holds it.

    Raises:
        NotFoundError: none does.
    """
    found = list(archives_of(request).holding(slide_id, archive))
    if not found:
        where = "any archive" if archive is None else f"the archive {archive!r}"
        raise NotFoundError(f"there is no slide {slide_id!r} in {where}")
    return found


def held_or_none(request: Request, slide_id: str, archive: str | None) -> list[Held]:
    """Do the same for a list: a slide that was registered may lie in no archive yet.

    Raises:
        NotFoundError: there is no such slide at all, or none in the archive that is asked for.
    """
    try:
        return all_held(request, slide_id, archive)
    except NotFoundError:
        if archive is not None:
            raise
        request.app.state.catalogue.get(slide_id)
        return []


def _first(found: list[Held], otherwise: str) -> Held:
    if not found:
        raise NotFoundError(otherwise)
    return found[0]
