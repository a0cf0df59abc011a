"""Routes of maps: which there are, their pictures, the files that other programs open."""

from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request, Response

from service.auth.access import Reader
from service.content.asking import AskedMap, Chosen, Responses, binary, files_of, pictures_of
from service.content.describing import described
from service.content.documents import AreasOut, MapOut
from service.content.exports import areas_csv, areas_of, geojson_file, ome_tiff_file
from service.content.found import FAILS, ArchiveName, SlideId, content_router, held_or_none
from service.content.maps import Shown, open_map
from service.content.sending import of_bytes, of_file, send, tag, unchanged

router = content_router()

TAGS: list[Any] = ["maps"]
MAP = "/slides/{slide_id}/maps/{name}"
LARGEST_PX = 4096
PNG, XML, TIFF = "image/png", "application/xml", "image/tiff"
GEOJSON = "application/geo+json"
CSV: Responses = {
    200: {"description": "OK", "content": {"text/csv": {}}},
    304: {"description": "The caller has the CSV already."},
}

MaxPx = Annotated[
    int, Query(ge=1, le=LARGEST_PX, description="Longest side; halved until it fits.")
]


@router.get("/slides/{slide_id}/maps", tags=TAGS, responses=FAILS)
def list_maps(
    request: Request, caller: Reader, slide_id: SlideId, archive: ArchiveName = None
) -> list[MapOut]:
    """List the tissue maps and heatmaps of a slide, in all archives that hold it."""
    return [
        described(open_map(request, slide_id, held.archive, name))
        for held in held_or_none(request, slide_id, archive)
        for name in held.contents.maps
    ]


@router.get(MAP + ".png", tags=TAGS, response_class=Response, responses=binary(PNG))
def get_map_png(
    request: Request,
    caller: Reader,
    shown: AskedMap,
    choice: Chosen,
    max_px: MaxPx = LARGEST_PX,
) -> Response:
    """Draw a map as one picture, transparent where it says nothing."""
    etag = tag("png", shown.etag, choice.key, max_px)
    same = unchanged(request, etag)
    if same is not None:
        return same
    data = pictures_of(request).whole(shown, choice, max_px)
    return send(request, of_bytes(data, etag, PNG))


@router.get(MAP + ".dzi", tags=TAGS, response_class=Response, responses=binary(XML))
def get_map_dzi(
    request: Request,
    caller: Reader,
    shown: AskedMap,
    choice: Chosen,
) -> Response:
    """Describe the Deep Zoom pyramid of a map; its tiles take the same options as the picture."""
    pictures = pictures_of(request)
    data = pictures.zoom(pictures.picture(shown, choice)).dzi("png").encode()
    return send(request, of_bytes(data, tag("dzi", shown.etag), XML))


@router.get(
    MAP + "_files/{level}/{column}_{row}.png",
    tags=TAGS,
    response_class=Response,
    responses=binary(PNG),
)
def get_map_tile(
    request: Request,
    caller: Reader,
    shown: AskedMap,
    choice: Chosen,
    level: Annotated[int, Path(ge=0, le=64, examples=[9])],
    column: Annotated[int, Path(ge=0, le=1 << 31, examples=[0])],
    row: Annotated[int, Path(ge=0, le=1 << 31, examples=[0])],
) -> Response:
    """Draw a Deep Zoom tile of a map from what is stored."""
    place = level, column, row
    etag = tag("tile", shown.etag, choice.key, place)
    same = unchanged(request, etag)
    if same is not None:
        return same
    data = pictures_of(request).tile(shown, choice, place)
    return send(request, of_bytes(data, etag, PNG))


@router.get(
    MAP + ".geojson", tags=TAGS, response_class=Response, responses=binary(GEOJSON, parts=True)
)
def get_map_geojson(request: Request, caller: Reader, shown: AskedMap) -> Response:
    """Give polygons of the classes for QuPath, or a rectangle per patch with its attention."""
    path = geojson_file(files_of(request), shown)
    saved = _saved_as(shown, ".geojson")
    return send(request, of_file(path, tag("geojson", shown.etag), GEOJSON, saved))


@router.get(
    MAP + ".ome.tif", tags=TAGS, response_class=Response, responses=binary(TIFF, parts=True)
)
def get_map_ome_tiff(request: Request, caller: Reader, shown: AskedMap) -> Response:
    """Give the classes in their colours as a pyramidal OME-TIFF."""
    path = ome_tiff_file(files_of(request), shown)
    saved = _saved_as(shown, ".ome.tif")
    return send(request, of_file(path, tag("ome-tiff", shown.etag), TIFF, saved))


@router.get(MAP + "/areas", tags=TAGS, response_model=AreasOut, responses=CSV | FAILS)
def get_map_areas(
    request: Request,
    caller: Reader,
    shown: AskedMap,
    format: Literal["json", "csv"] = "json",
) -> AreasOut | Response:
    """Tell how many square millimetres each class takes, and how sure the map is of it."""
    areas = areas_of(files_of(request), shown)
    if format == "json":
        return areas
    saved = _saved_as(shown, ".areas.csv")
    data = areas_csv(areas).encode()
    return send(request, of_bytes(data, tag("areas", shown.etag), "text/csv", saved))


def _saved_as(shown: Shown, ending: str) -> str:
    return f"{shown.held.store.slide_id}.{shown.map.name}{ending}"
