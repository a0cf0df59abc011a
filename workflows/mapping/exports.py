"""All files that are made of one map, in the slide's folder, named after the map."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tiling.tissuemap import ClassMap


def export_map(
    source: ClassMap,
    folder: Path,
    name: str,
    formats: Sequence[str],
    shown_from: tuple[float, float] = (0.0, 0.0),
) -> dict[str, Any]:
    """Write the files that are asked for.

    Args:
        source: the map.
        folder: of the slide's files; is made.
        name: of the map, which the files' names begin with.
        formats: of `png`, `geojson`, `ome-tiff`, `dzi`, `areas`, `entropy`.
        shown_from: as `write_geojson` takes it.

    Returns:
        `files` by kind, and `areas` where they were measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = {"files": {}, "areas": None}
    makers = _makers(shown_from)
    for kind in formats:
        if kind == "areas":
            known["areas"] = _write_areas(source, folder / name, known["files"])
            continue
        ending, make = makers[kind]
        path = folder / f"{name}{ending}"
        make(source, path)
        known["files"][kind] = str(path)
    return known


def _makers(
    shown_from: tuple[float, float],
) -> dict[str, tuple[str, Callable[[ClassMap, Path], object]]]:
    """Endings of files, and what writes them."""
    from workflows.mapping.dzi import write_dzi
    from workflows.mapping.enlarged import enlarged
    from workflows.mapping.geojson import write_geojson
    from workflows.mapping.ometiff import write_ome_tiff
    from workflows.mapping.picture import write_entropy_png, write_png

    return {
        "png": (".png", lambda source, path: write_png(enlarged(source), path)),
        "entropy": (".entropy.png", lambda source, path: write_entropy_png(enlarged(source), path)),
        "geojson": (
            ".geojson",
            lambda source, path: write_geojson(source, path, shown_from=shown_from),
        ),
        "ome-tiff": (".ome.tif", write_ome_tiff),
        "dzi": (".dzi", write_dzi),
    }


def _write_areas(source: ClassMap, stem: Path, files: dict[str, str]) -> dict[str, Any]:
    from workflows.mapping.areas import measure_areas, write_areas_csv, write_areas_json

    areas = measure_areas(source)
    for kind, write in (("json", write_areas_json), ("csv", write_areas_csv)):
        path = stem.with_name(f"{stem.name}.areas.{kind}")
        write(areas, path)
        files[f"areas.{kind}"] = str(path)
    return asdict(areas)
