"""Maps and archives in words and numbers."""

from typing import Any

from service.content.documents import ClassOut, MapOut, Pair
from service.content.exports import downloads_of
from service.content.maps import Shown
from service.content.pictures import channels_of, is_tissue
from service.content.redacting import without_places
from service.reading import reading
from tiling.tissuemap import read_attributes


def described(shown: Shown) -> MapOut:
    """Describe a map.

    Raises:
        CorruptStoreError: it is damaged.
    """
    with reading(shown.what):
        place = _place_of_classes(shown) if is_tissue(shown.map) else _place_of_heat(shown)
        known = shown.map.attributes
        return MapOut(
            name=shown.map.name,
            archive=shown.held.archive,
            kind=str(known.get("kind") or "other"),
            arrays=[str(name) for name in known["arrays"]],
            made_by=without_places(known.get("model")),
            downloads=downloads_of(shown) if place["size_px"] else [],
            **place,
        )


def _place_of_classes(shown: Shown) -> dict[str, Any]:
    legend, frame = read_attributes(shown.map.attributes)
    pairs = zip(legend.names, legend.colours, strict=True)
    return {
        "classes": [
            ClassOut(number=number, name=name, colour=colour)
            for number, (name, colour) in enumerate(pairs)
        ],
        "channels": None,
        "mpp": (frame.mpp.x, frame.mpp.y),
        "size_px": (frame.width_px, frame.height_px),
        "level0_origin": (frame.level0_x, frame.level0_y),
        "level0_step": (frame.level0_step_x, frame.level0_step_y),
    }


def _place_of_heat(shown: Shown) -> dict[str, Any]:
    known, channels = shown.map.attributes, channels_of(shown.map)
    shape = shown.map.layout("pixels").shape if channels else None
    return {
        "classes": None,
        "channels": list(channels) or None,
        "mpp": _pair(known.get("mpp")),
        "size_px": (shape[2], shape[1]) if shape else None,
        "level0_origin": _pair(known.get("level0_origin")),
        "level0_step": _pair(known.get("level0_step")),
    }


def _pair(known: Any) -> Pair | None:
    return None if known is None else (float(known[0]) + 0.0, float(known[1]) + 0.0)
