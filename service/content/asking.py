"""What the routes of maps take, and how their answers are described."""

from typing import Annotated, Any

from fastapi import Depends, Query, Request

from service.content.files import MadeFiles
from service.content.found import FAILS, ArchiveName, MapName, SlideId
from service.content.maps import Choice, Pictures, Shown, numbers_of, open_map
from service.content.pictures import Layer
from service.problems import problems

Responses = dict[int | str, dict[str, Any]]


def _asked(
    request: Request, slide_id: SlideId, name: MapName, archive: ArchiveName = None
) -> Shown:
    return open_map(request, slide_id, archive, name)


def _chosen(
    layer: Annotated[
        Layer, Query(description="Of a tissue map: its classes, or how unsure it is of them.")
    ] = "classes",
    hide: Annotated[
        str, Query(max_length=1200, description="Classes to make transparent.", examples=["0,3"])
    ] = "",
    channel: Annotated[
        str | None, Query(max_length=200, description="Of a heatmap; by default its first one.")
    ] = None,
) -> Choice:
    return Choice(layer, numbers_of(hide), channel)


AskedMap = Annotated[Shown, Depends(_asked)]
"""The map that the path names; is to stand behind the caller, who may not know of it."""
Chosen = Annotated[Choice, Depends(_chosen)]


def binary(*media_types: str, parts: bool = False) -> Responses:
    """Describe a route that answers with bytes.

    Args:
        media_types: what they are.
        parts: whether parts of them can be asked for.
    """
    schema = {"schema": {"type": "string", "format": "binary"}}
    content = dict.fromkeys(media_types, schema)
    json = {kind: {"schema": {"type": "object"}} for kind in media_types if kind.endswith("json")}
    found: Responses = {
        200: {"description": "OK", "content": content | json},
        304: {"description": "The caller has it already."},
    }
    if parts:
        found[206] = {"description": "The part that was asked for.", "content": content}
        found |= problems(416)
    return found | FAILS


def files_of(request: Request) -> MadeFiles:
    """Give the files that were made."""
    files: MadeFiles = request.app.state.content.files
    return files


def pictures_of(request: Request) -> Pictures:
    """Give what draws maps."""
    pictures: Pictures = request.app.state.content.pictures
    return pictures
