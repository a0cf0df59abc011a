"""A slide's pictures for the report: tissue and patches on its thumbnail, and some patches."""

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tiling.store import PatchStore

OVERVIEW_PX = 560
"""Longest side; twice what the page shows, for sharp screens and for paper."""
STRIP_PATCHES = 8
STRIP_CELL_PX = 112
QUALITY = 72


@dataclass(frozen=True, slots=True)
class Pictures:
    """JPEG pictures as data URLs, with their size in pixels; no strip where nothing was kept."""

    overview: str
    overview_px: tuple[int, int]
    strip: str
    strip_px: tuple[int, int]


def draw_pictures(store: "PatchStore") -> Pictures:
    """Draw both pictures of a slide."""
    from tiling.preview import draw_overview

    known = store.attributes
    if known["grid"] is None:  # imported: the thumbnail is a sheet of patches, not a place
        overview = store.thumbnail
    else:
        overview = draw_overview(
            store.thumbnail,
            store.tissue_mask.astype(bool),
            store.coords,
            tuple(known["patch_size_level0"]),
            (known["levels"][0]["width"], known["levels"][0]["height"]),
            max_px=OVERVIEW_PX,
        )
    strip = None if known["grid"] is None else _strip(store)
    return Pictures(
        data_url(overview),
        (overview.shape[1], overview.shape[0]),
        "" if strip is None else data_url(strip),
        (0, 0) if strip is None else (strip.shape[1], strip.shape[0]),
    )


def _strip(store: "PatchStore") -> "NDArray[np.uint8] | None":
    from tiling.preview import contact_sheet, pick_evenly
    from tiling.reader import PatchReader

    if len(store) == 0:
        return None
    reader = PatchReader(store)
    try:
        patches = reader.read(pick_evenly(len(store), STRIP_PATCHES))
    finally:
        reader.close()
    return contact_sheet(patches, columns=STRIP_PATCHES, cell_px=STRIP_CELL_PX)


def data_url(picture: "NDArray[np.uint8]") -> str:
    """Give a picture as a JPEG in a data URL."""
    from tiling.preview import encode_jpeg

    data = base64.b64encode(encode_jpeg(picture, QUALITY)).decode("ascii")
    return f"data:image/jpeg;base64,{data}"
