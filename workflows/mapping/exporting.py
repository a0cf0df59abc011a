"""The files of many slides' maps, by several processes; what is there already is left alone."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from workflows.cluster import cores
from workflows.pool import spread

SMALL_PIXELS = 20_000_000
"""Maps of so many pixels together are written sooner than another process is started."""


@dataclass(frozen=True)
class Job:
    """What is exported.

    Attributes:
        archive: path or URL.
        name: of the map.
        out: folder; each slide has one of its own in it.
        formats: as `export_map` takes them.
    """

    archive: str
    name: str
    out: str
    formats: tuple[str, ...]


def export_all(
    job: Job, slide_ids: Sequence[str], workers: int | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give what came of each slide, in whatever order: its files and areas, or why it failed.

    Args:
        job: what is exported.
        slide_ids: that have the map.
        workers: processes; by default one per core.
    """
    count = 1 if _are_small(job, slide_ids) else min(workers or cores(), len(slide_ids))
    yield from spread(partial(export_slide, job), slide_ids, count)


def _are_small(job: Job, slide_ids: Sequence[str]) -> bool:
    """Whether the maps are small; what cannot be read is told of when it is exported."""
    from tiling.errors import TilingError
    from tiling.maps import SlideMap
    from tiling.store import Archive

    archive, left = Archive.open(job.archive), SMALL_PIXELS
    for slide_id in slide_ids:
        with suppress(TilingError, KeyError):
            left -= math.prod(SlideMap(archive[slide_id], job.name).attributes["shape"])
        if left < 0:
            return False
    return True


def export_slide(job: Job, slide_id: str) -> tuple[str, dict[str, Any]]:
    """Write the files of one slide that are missing, or were made of another map."""
    from tiling.errors import TilingError

    try:
        return slide_id, _export(job, slide_id)
    except (TilingError, OSError) as err:
        sentence = f"its map is in the archive, but not all its files are written: {err}"
        return slide_id, {"state": "failed", "error": sentence, "cause": type(err).__name__}


def _export(job: Job, slide_id: str) -> dict[str, Any]:
    from models.files import write_whole
    from tiling.store import Archive
    from tiling.tissuemap import TissueMap
    from workflows.mapping.exports import export_map

    store = Archive.open(job.archive)[slide_id]
    source = TissueMap(store, job.name)
    folder = Path(job.out) / slide_id
    record = folder / f"{job.name}.json"
    known = _read(record, source.attributes["identity"])
    missing = [kind for kind in job.formats if not _has(known, kind)]
    if missing:
        left, top, *_ = store.attributes.get("bounds") or (0, 0)  # QuPath shows it as the corner
        found = export_map(source, folder, job.name, missing, (float(left), float(top)))
        known["files"] |= found["files"]
        known["areas"] = found["areas"] or known["areas"]
        write_whole(record, (json.dumps(known, indent=1, ensure_ascii=False) + "\n").encode())
    return {"files": known["files"], "areas": known["areas"]}


def _read(record: Path, identity: str) -> dict[str, Any]:
    """Read which files of this very map are there."""
    try:
        known = json.loads(record.read_text("utf-8"))
        if known["identity"] == identity:
            return {"identity": identity, "files": dict(known["files"]), "areas": known["areas"]}
    except (OSError, ValueError, LookupError, TypeError):  # none, or not one of ours
        pass
    return {"identity": identity, "files": {}, "areas": None}


def _has(known: dict[str, Any], kind: str) -> bool:
    """Whether a format's files are there; areas are two files."""
    paths = [path for name, path in known["files"].items() if name.partition(".")[0] == kind]
    return bool(paths) and all(Path(path).exists() for path in paths)
