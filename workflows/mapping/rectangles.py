"""Patches for QuPath: one tile each, with values as measurements and a colour by rank.

QuPath (0.3 and later) reads measurements as a list of names and values; later versions also take an
object. A tile's own colour is shown unless a measurement map is on.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.bags.patches import Patches

Floats = NDArray[np.floating[Any]]

DECIMALS = 3
"""Of coordinates, in level-0 pixels, as in polygons of maps."""
DIGITS = 7
"""Significant ones of a value: what a float32 holds."""


def write_rectangles(patches: "Patches", values: Mapping[str, Floats], path: Path) -> int:
    """Write the patches as rectangles of level-0 pixels; gives how many there are.

    Args:
        patches: of the slide.
        values: `(n,)` of each name; colours are by the first one's ranks in the slide.
        path: the file; it appears when it is whole.

    Raises:
        DataError: nobody knows where the patches lie.
    """
    from models.errors import DataError
    from models.files import replacing

    if (patches.attributes.get("import") or {}).get("coords") == "made up":
        raise DataError(
            f"nobody knows where the patches of {patches.slide_id} lie; import them with x and y, "
            "or write --formats png alone"
        )
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type":"FeatureCollection","features":[')
        count = 0
        for feature in _features(patches, values):
            file.write(",\n" if count else "\n")
            json.dump(feature, file, ensure_ascii=False, separators=(",", ":"))
            count += 1
        file.write("\n]}\n")
    return count


def _features(patches: "Patches", values: Mapping[str, Floats]) -> Iterator[dict[str, Any]]:
    from workflows.reporting.attention import colours, ranks

    left, top, *_ = patches.bounds or (0.0, 0.0)  # what viewers show as the slide's corner
    shares = {name: ranks(found) for name, found in values.items()}
    shown = colours(next(iter(shares.values()))).tolist()
    for i, (x, y) in enumerate((patches.coords - (left, top)).tolist()):
        measured = []
        for name, found in values.items():
            measured.append({"name": name, "value": float(f"{found[i]:.{DIGITS}g}")})
            measured.append({"name": f"{name} rank", "value": round(float(shares[name][i]), 4)})
        properties = {"objectType": "tile", "color": shown[i], "measurements": measured}
        yield {
            "type": "Feature",
            "properties": properties,
            "geometry": {"type": "Polygon", "coordinates": [_ring(x, y, patches.level0_patch)]},
        }


def _ring(x: float, y: float, sides: tuple[float, float]) -> list[list[float]]:
    """Corners of a rectangle, the first one again at the end; turned as outlines of maps are."""
    right, lower = x + sides[0], y + sides[1]
    corners = ((x, y), (right, y), (right, lower), (x, lower), (x, y))
    return [[round(a, DECIMALS), round(b, DECIMALS)] for a, b in corners]
