"""Files of a map that other programs open: GeoJSON, OME-TIFF, areas. Each is made once."""

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.bags.patches import Patches
from service.content.documents import AreasOut, ClassAreaOut
from service.content.files import MadeFiles
from service.content.maps import Shown
from service.content.pictures import is_tissue
from service.errors import NotFoundError
from service.reading import reading
from tiling.tissuemap import TissueMap
from workflows.mapping.areas import measure_areas
from workflows.mapping.attention import KIND as ATTENTION
from workflows.mapping.attention import read_attention
from workflows.mapping.geojson import write_geojson
from workflows.mapping.ometiff import write_ome_tiff
from workflows.mapping.rectangles import write_rectangles


def downloads_of(shown: Shown) -> list[str]:
    """Endings of what can be had of a map."""
    if is_tissue(shown.map):
        return [".png", ".dzi", ".geojson", ".ome.tif", "/areas"]
    polygons = [".geojson"] if shown.map.attributes.get("kind") == ATTENTION else []
    return [".png", ".dzi", *polygons]


def geojson_file(files: MadeFiles, shown: Shown) -> Path:
    """Make polygons of the classes, or a rectangle per patch with its attention.

    Raises:
        NotFoundError: it is a map of another kind.
    """
    if is_tissue(shown.map):
        return _made(files, shown, ".geojson", _write_polygons)
    if shown.map.attributes.get("kind") != ATTENTION:
        raise NotFoundError(f"{shown.what} has neither classes nor attention")
    return _made(files, shown, ".geojson", _write_rectangles)


def ome_tiff_file(files: MadeFiles, shown: Shown) -> Path:
    """Make a pyramid of the classes in their colours.

    Raises:
        NotFoundError: the map has no classes.
    """
    return _made(files, _tissue(shown), ".ome.tif", _write_ome_tiff)


def areas_of(files: MadeFiles, shown: Shown) -> AreasOut:
    """Measure the classes.

    Raises:
        NotFoundError: the map has no classes.
    """
    path = _made(files, _tissue(shown), ".areas.json", _write_areas)
    known = json.loads(path.read_text("utf-8"))
    return AreasOut(map=shown.map.name, archive=shown.held.archive, **known)


def areas_csv(areas: AreasOut) -> str:
    """Give a line per class; a mean of nothing is empty."""
    text = io.StringIO()
    names = [name for name in ClassAreaOut.model_fields if name != "colour"]
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(row.model_dump(exclude={"colour"}) for row in areas.classes)
    return text.getvalue()


def _tissue(shown: Shown) -> Shown:
    if not is_tissue(shown.map):
        raise NotFoundError(f"{shown.what} has no classes")
    return shown


def _made(files: MadeFiles, shown: Shown, ending: str, write: Any) -> Path:
    with reading(shown.what):
        return files.get((ending, shown.etag), ending, lambda path: write(shown, path))


def _open(shown: Shown) -> TissueMap:
    return TissueMap(shown.held.store, shown.map.name)


def _write_polygons(shown: Shown, path: Path) -> None:
    left, top, *_ = shown.held.store.attributes.get("bounds") or (0, 0)  # QuPath crops to them
    write_geojson(_open(shown), path, shown_from=(float(left), float(top)))


def _write_rectangles(shown: Shown, path: Path) -> None:
    patches = Patches(shown.held.store)
    write_rectangles(patches, read_attention(patches, shown.map.name), path)


def _write_ome_tiff(shown: Shown, path: Path) -> None:
    write_ome_tiff(_open(shown), path)


def _write_areas(shown: Shown, path: Path) -> None:
    source = _open(shown)
    known = asdict(measure_areas(source))
    for number, row in enumerate(known["classes"]):
        row |= {"number": number, "colour": source.legend.colours[number]}
    path.write_text(json.dumps(known), "utf-8")
