"""One slide's map, decided before a window is read: its place, its windows, its tissue."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.mapping.request import PRECISIONS, TOLERANCE, MapRequest, Precision
from tiling.errors import CorruptStoreError, PlanError, StoreError
from tiling.grid import choose_resolution
from tiling.mapplan import MapPlan
from tiling.maps import SlideMap, map_key, map_names
from tiling.mapwriter import NOTES
from tiling.pixels import Footprint
from tiling.plan import picture_window
from tiling.stitching import Layout
from tiling.storage import Storage
from tiling.store import PatchStore
from tiling.tissuemap import Legend
from tiling.windows import MapFrame, WindowGrid, frame_over, mask_over, tissue_windows
from wsi.errors import SlideError
from wsi.fingerprint import fingerprint
from wsi.geometry import Mpp
from wsi.readers import open_slide
from wsi.slide import Slide


@dataclass(frozen=True)
class SlideMapPlan:
    """A map that is to be made of a slide.

    Attributes:
        map: what is stored.
        footprint: what a window covers of the level that is read.
        windows: of the grid, those that touch tissue `(n,)`, ascending.
        origins: of these, top-left corners `(n, 2)` as x, y in pixels of the level.
    """

    map: MapPlan
    footprint: Footprint
    windows: NDArray[np.int64]
    origins: NDArray[np.float64]


def open_recorded(store: PatchStore) -> Slide:
    """Open the slide that an archive's slide was cut from.

    Raises:
        StoreError: there is no such slide, it is another one by now, or it is not where it was.
    """
    known = store.attributes
    if "import" in known:
        raise StoreError(
            f"{store.slide_id} was imported as patches, so that there is no slide to map"
        )
    location, then = known["source"]["uri"], known["source"]
    try:
        now = fingerprint(location)
    except SlideError as err:
        raise StoreError(
            f"{store.slide_id}: its slide is not at {location} any more ({err}); put it back, or "
            "cut it from where it is now"
        ) from err
    if (now["size"], now["quick_hash"]) != (then["size"], then["quick_hash"]):
        raise StoreError(
            f"{store.slide_id}: {location} is not the file that it was cut from; cut it anew"
        )
    mpp = (known["mpp"]["x"], known["mpp"]["y"])
    return open_slide(location, known["reader"], mpp, icc=known["icc"])


def plan_slide_map(store: PatchStore, slide: Slide, request: MapRequest) -> SlideMapPlan:
    """Lay windows over a slide's picture at the resolution asked for, and keep those with tissue.

    Raises:
        PlanError: the slide is coarser than that, or no tissue was found on it.
    """
    mpp = Mpp(slide.mpp.x, slide.mpp.y)
    resolution = choose_resolution(slide.levels, mpp, request.mpp, TOLERANCE)
    downsample = slide.levels[resolution.level].downsample
    window = picture_window(slide, resolution)
    frame = frame_over(window, downsample, resolution)
    mask = _tissue(store, slide, frame)
    grid = WindowGrid(frame.height_px, frame.width_px, request.window_px, request.overlap_px)
    classes = len(request.card.classes)
    kept = tissue_windows(grid, mask)
    steps = np.array([resolution.reduction_x, resolution.reduction_y])
    footprint = Footprint(
        extent_x=request.window_px * resolution.reduction_x,
        extent_y=request.window_px * resolution.reduction_y,
        patch_px=request.window_px,
        level=resolution.level,
        downsample=downsample,
        icc=bool(store.attributes["icc"]),
    )
    made = MapPlan(
        Legend(request.card.classes, request.card.palette),
        frame,
        Layout(grid, classes, mask),
        request.model(store),
        request.shard_bytes,
    )
    return SlideMapPlan(made, footprint, kept, grid.corners(kept) * steps + (window.x, window.y))


def _tissue(store: PatchStore, slide: Slide, frame: MapFrame) -> NDArray[np.bool_]:
    whole = store.tissue_mask.astype(np.bool_)
    mask = mask_over(frame, whole, (slide.size.width, slide.size.height))
    if not mask.any():
        raise PlanError(
            f"{store.slide_id}: no tissue was found on it, so there is nothing to map; look at the "
            "archive's report, and cut it with another --tissue, or none"
        )
    return mask


def has_map(store: PatchStore, request: MapRequest) -> bool:
    """Whether the slide has a map of this name."""
    return request.name in map_names(store)


def forget_notes(storage: Storage, slide_id: str, request: MapRequest) -> None:
    """Remove what a run that was killed right after it committed the map left beside it."""
    storage.delete(f"{map_key(slide_id, request.name)}/{NOTES}")


def why_conflict(store: PatchStore, request: MapRequest) -> str | None:
    """Say how the map of this name differs from what is asked for; None where it does not."""
    try:
        known = SlideMap(store, request.name).attributes
    except CorruptStoreError:
        return f"{store.slide_id}: it is damaged"
    model = known.get("model")
    if not isinstance(model, dict):
        return f"{store.slide_id}: it is another kind of map"
    wanted = request.model(store)
    names = sorted(name for name in wanted.keys() | model.keys() if not _same(model, wanted, name))
    asked = {"window_px": request.window_px, "overlap_px": request.overlap_px}
    names += [name for name, value in asked.items() if known.get(name) != value]
    return f"{store.slide_id}: {', '.join(names)} differ" if names else None


def _same(one: Mapping[str, Any], other: Mapping[str, Any], name: str) -> bool:
    return name in one and name in other and one[name] == other[name]


def recorded_precision(store: PatchStore, request: MapRequest) -> Precision | None:
    """Give the number format of the slide's map of this name; None where there is none."""
    if not has_map(store, request):
        return None
    try:
        model = SlideMap(store, request.name).attributes.get("model")
    except CorruptStoreError:
        return None
    found = model.get("precision") if isinstance(model, dict) else None
    return next((known for known in PRECISIONS if known == found), None)
