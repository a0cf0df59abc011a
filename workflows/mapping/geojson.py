"""Polygons for QuPath: one annotation per piece, with the class's name and colour.

QuPath (0.3 and later) reads a FeatureCollection whose properties are `objectType` and
`classification` with `name` and `color`; coordinates are pixels of level 0.
"""

import itertools
import json
from collections.abc import Iterator
from operator import add
from pathlib import Path
from typing import TextIO

from models.files import replacing
from tiling.tissuemap import ClassMap, Legend, bands
from tiling.windows import MapFrame
from workflows.mapping.outlines import Outlines, trace

PIECE = 1 << 16
"""Corners that are turned to text at a time."""


def write_geojson(
    source: ClassMap,
    path: Path,
    *,
    shown_from: tuple[float, float] = (0.0, 0.0),
    smallest_px: int = 1,
) -> int:
    """Write the pieces of all classes as polygons with holes; gives how many there are.

    Args:
        source: the map.
        path: the file; it appears when it is whole.
        shown_from: x, y in level-0 pixels that the viewer shows as its corner. QuPath crops slides
            that name bounds (MRXS) to them, unless it is told `--no-crop`.
        smallest_px: pieces of fewer pixels of the map are left out.
    """
    texts = _Texts(source.legend, source.frame, shown_from)
    count = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type":"FeatureCollection","features":[')
        for found in trace(bands(source), source.frame.width_px):
            for number in range(len(found)):
                if found.pixels[number] >= smallest_px:
                    file.write(",\n" if count else "\n")
                    texts.write(found, number, file)
                    count += 1
        file.write("\n]}\n")
    return count


class _Texts:
    """Every coordinate and every class as text, made once."""

    def __init__(self, legend: Legend, frame: MapFrame, shown_from: tuple[float, float]) -> None:
        left, top = frame.level0_x - shown_from[0], frame.level0_y - shown_from[1]
        xs = (left + i * frame.level0_step_x for i in range(frame.width_px + 1))
        ys = (top + i * frame.level0_step_y for i in range(frame.height_px + 1))
        self._x = [f"[{_short(x)}," for x in xs]
        self._y = [f"{_short(y)}]" for y in ys]
        self._heads = [
            _head(name, colour) for name, colour in zip(legend.names, legend.colours, strict=True)
        ]

    def write(self, found: Outlines, number: int, file: TextIO) -> None:
        """Write one polygon."""
        file.write(self._heads[found.classes[number]])
        first, last = found.polygons[number : number + 2].tolist()
        bounds = found.rings[first : last + 1].tolist()
        for i, (start, stop) in enumerate(itertools.pairwise(bounds)):
            file.write(",[" if i else "[")
            for text in self._ring(found, start, stop):
                file.write(text)
            file.write("]")
        file.write("]}}")

    def _ring(self, found: Outlines, start: int, stop: int) -> Iterator[str]:
        """Corners of a ring as text, the first one again at the end."""
        for begin in range(start, stop, PIECE):
            end = min(begin + PIECE, stop)
            xs = map(self._x.__getitem__, found.x[begin:end].tolist())
            ys = map(self._y.__getitem__, found.y[begin:end].tolist())
            yield ",".join(map(add, xs, ys)) + ","
        yield self._x[found.x[start]] + self._y[found.y[start]]


def _head(name: str, colour: tuple[int, int, int]) -> str:
    properties = {
        "objectType": "annotation",
        "classification": {"name": name, "color": list(colour)},
    }
    known = json.dumps(properties, ensure_ascii=False, separators=(",", ":"))
    return f'{{"type":"Feature","properties":{known},"geometry":{{"type":"Polygon","coordinates":['


def _short(value: float) -> str:
    """A coordinate to a thousandth of a pixel, without needless zeros."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
