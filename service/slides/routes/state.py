"""What routes of slides find in the application, and what they say in OpenAPI."""

from typing import Any, TypeAlias

from fastapi import Request
from starlette.datastructures import State

from service.slides.catalogue import Catalogue
from service.slides.describing import Patients
from service.slides.pool import SlidePool
from service.slides.regions import RegionTurns
from service.slides.registering import Registrar
from service.slides.tiles import TileServer
from service.slides.uploads import Uploads

Responses: TypeAlias = dict[int | str, dict[str, Any]]

KNOWN: Responses = {304: {"description": "The client has this answer already."}}
JPEG, PNG, DZI = "image/jpeg", "image/png", "application/xml"


class Slides:
    """What this area keeps while the application runs."""

    def __init__(self, state: State) -> None:
        self.catalogue: Catalogue = state.catalogue
        self.pool: SlidePool = state.pool
        self.tiles: TileServer = state.tiles
        self.registrar: Registrar = state.registrar
        self.uploads: Uploads = state.uploads
        self.patients: Patients = state.patients
        self.turns: RegionTurns = state.region_turns


def slides_of(request: Request) -> Slides:
    """Give what this area keeps."""
    return Slides(request.app.state)


def picture(*media_types: str) -> Responses:
    """Describe an answer of bytes, and that it may be known already."""
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {
        200: {
            "description": "The bytes.",
            "content": dict.fromkeys(media_types, schema),
        },
    } | KNOWN
