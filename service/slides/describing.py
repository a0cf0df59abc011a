"""A slide as JSON: what its file, its row and the archives say, without what names a patient."""

import hashlib
import io
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from service.archives import Archives, Found, Held
from service.auth.access import Caller
from service.errors import NotFoundError
from service.reading import reading
from service.slides.catalogue import Catalogue, Entry
from service.slides.models import (
    Bounds,
    DeepZoomInfo,
    InArchive,
    Resolution,
    SlideDetails,
    SlideItem,
    SlideLevel,
)
from service.slides.pyramid import Pyramid
from tiling.embeddings import embedding_ids
from tiling.errors import StoreError
from tiling.maps import map_names
from tiling.store import INDEX, Archive
from wsi import MissingMppError, Slide

PATIENTS_FRESH_S = 30.0
WHITE = "ffffff"


class Patients:
    """Patients of all slides by ID, for the search; safe to share between threads.

    Args:
        archives: whose indexes say so.
    """

    def __init__(self, archives: Archives) -> None:
        self._archives = archives
        self._lock = threading.Lock()
        self._read: dict[str, tuple[float, dict[str, str]]] = {}

    def matching(self, wanted: str) -> set[str]:
        """IDs of the slides whose patient's name holds this, in whatever case."""
        wanted = wanted.casefold()
        found: set[str] = set()
        for name, place in self._archives.locations().items():
            patients = self._patients(name, place)
            found.update(one for one, patient in patients.items() if wanted in patient.casefold())
        return found

    def _patients(self, name: str, place: str) -> dict[str, str]:
        with self._lock:
            at, known = self._read.get(name, (0.0, {}))
            if at and time.monotonic() - at < PATIENTS_FRESH_S:
                return known
            known = _read_patients(place)
            self._read[name] = (time.monotonic(), known)
            return known


def _read_patients(place: str) -> dict[str, str]:
    """Read them from the index of an archive; none where it has none yet."""
    import pyarrow.parquet as pq

    try:
        data = Archive.open(place).storage.read(INDEX)
        rows = pq.read_table(io.BytesIO(data), columns=["slide_id", "patient"]).to_pylist()
    except (StoreError, OSError, ValueError, KeyError):
        return {}
    return {row["slide_id"]: row["patient"] or "" for row in rows}


def describe_archive(held: Held) -> InArchive | None:
    """Say what an archive has of a slide; None where that cannot be read."""
    known = held.store.attributes
    try:
        return InArchive(
            name=held.archive,
            patches=known["n_patches"],
            patch_size_px=known["patch_size_px"],
            mpp=_pair(known["mpp_effective"]),
            maps=map_names(held.store),
            embeddings=embedding_ids(held.store),
        )
    except (KeyError, TypeError, ValueError, StoreError, OSError):
        return None


def describe(catalogue: Catalogue, entry: Entry, caller: Caller) -> SlideItem:
    """Say what the list shows of a slide."""
    found = catalogue.look(entry.id)
    held, shown = found.held, {one.archive: describe_archive(one) for one in found.held}
    known = held[0].store.attributes if held else {}
    item = SlideItem(
        id=entry.id,
        size_px=_size(entry, known),
        mpp=_mpp(entry, known),
        pixels=entry.source is not None,
        archives=[one for one in shown.values() if one is not None],
        unreadable=sorted({*found.unread, *(name for name, one in shown.items() if one is None)}),
        registered=entry.registered,
    )
    if "phi" in caller.scopes:
        item.patient, item.site = known.get("patient") or None, known.get("site") or None
    return item


def _size(entry: Entry, known: dict[str, Any]) -> tuple[int, int] | None:
    if entry.row is not None:
        return entry.row.width, entry.row.height
    try:
        return known["levels"][0]["width"], known["levels"][0]["height"]
    except (KeyError, IndexError, TypeError):
        return None


def _mpp(entry: Entry, known: dict[str, Any]) -> float | None:
    row = entry.row
    if row is not None and row.mpp_x is not None and row.mpp_y is not None:
        return (row.mpp_x + row.mpp_y) / 2
    mpp = known.get("mpp")
    pair = _pair((mpp.get("x"), mpp.get("y"))) if isinstance(mpp, dict) else None
    return None if pair is None else (pair[0] + pair[1]) / 2


def _pair(mpp: Sequence[float | None]) -> tuple[float, float] | None:
    """Microns per pixel along x and y; None where an imported slide's are unknown."""
    x, y = mpp
    return None if x is None or y is None else (x, y)


def details_of_slide(
    item: SlideItem, slide: Slide, pyramid: Pyramid, caller: Caller
) -> SlideDetails:
    """Say all that an open slide says."""
    at, size = slide.bounds.location, slide.bounds.size
    zoom = pyramid.zoom
    background = slide.properties.get(f"{slide.reader}.background-color") or WHITE
    return SlideDetails(
        **item.model_dump(),
        levels=[_level_of_slide(slide, index) for index in range(len(slide.levels))],
        resolution=_resolution(slide),
        vendor=slide.vendor,
        objective=slide.objective,
        bounds=Bounds(x=at.x, y=at.y, width=size.width, height=size.height),
        background=f"#{background.lower()}",
        reader=slide.reader,
        deepzoom=DeepZoomInfo(tile_px=zoom.tile_px, overlap=zoom.overlap, levels=zoom.level_count),
        properties=dict(slide.properties) if "phi" in caller.scopes else None,
    )


def _level_of_slide(slide: Slide, index: int) -> SlideLevel:
    level, native = slide.levels[index], slide.native_tiles(index)
    return SlideLevel(
        index=index,
        size_px=(level.size.width, level.size.height),
        downsample=level.downsample,
        tile_px=None if native is None else (native.tile.width, native.tile.height),
        codec=None if native is None else native.codec,
    )


def _resolution(slide: Slide) -> Resolution | None:
    try:
        mpp = slide.mpp
    except MissingMppError:
        return None
    return Resolution(x=mpp.x, y=mpp.y, origin=mpp.origin)


def details_of_archive(item: SlideItem, found: Found) -> SlideDetails:
    """Say what an archive says of a slide whose file is not here.

    Raises:
        NotFoundError: no archive has it either.
        CorruptStoreError: what the archive says is damaged.
        UnavailableError: the archive cannot be read now.
    """
    found.require_one()
    if not found.held:
        raise NotFoundError(f"the file of slide {item.id!r} is gone")
    with reading(f"slide {item.id!r} in {found.held[0].archive}"):
        return _details_of_store(item, found.held[0].store.attributes)


def _details_of_store(item: SlideItem, known: Mapping[str, Any]) -> SlideDetails:
    levels = [
        SlideLevel(
            index=index,
            size_px=(level["width"], level["height"]),
            downsample=level["downsample"],
        )
        for index, level in enumerate(known["levels"])
    ]
    x, y, width, height = known["bounds"]
    return SlideDetails(
        **item.model_dump(),
        levels=levels,
        resolution=None if item.mpp is None else Resolution(**known["mpp"]),
        vendor=known["vendor"],
        objective=known["objective"],
        bounds=Bounds(x=x, y=y, width=width, height=height),
        reader=known["reader"],
    )


def tag_of_details(details: SlideDetails) -> str:
    """Entity tag of what is said of a slide."""
    return f'"{hashlib.sha256(details.model_dump_json().encode()).hexdigest()[:24]}"'
