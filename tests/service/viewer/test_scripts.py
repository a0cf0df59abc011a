"""The viewer's arithmetic, run in the browser and compared with slow twins here."""

import base64
import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.service.viewer.conftest import Visit


@pytest.mark.parametrize("um_per_px", [0.0312, 0.2495, 0.5, 1.0, 3.3333, 7.15, 99.0, 712.4])
def test_the_scale_bar_is_the_longest_round_length_that_fits(
    visit: Visit, um_per_px: float
) -> None:
    page = visit()
    bar = page.evaluate(
        "async um => (await import('/viewer/js/slide/frame.js')).scaleBar(um, 140)", um_per_px
    )
    lengths = [step * 10.0**power for power in range(-3, 7) for step in (1, 2, 5)]
    right = max(one for one in lengths if one <= um_per_px * 140)
    assert bar["um"] == pytest.approx(right)
    assert bar["px"] * um_per_px == pytest.approx(right)


def grid(count: int, seed: int) -> dict[str, Any]:
    """Places of patches as an archive has them, with holes, and some that overlap."""
    rng = np.random.default_rng(seed)
    side = math.ceil(math.sqrt(count / 0.7))
    y, x = (one.ravel() for one in np.mgrid[:side, :side])
    kept = np.sort(rng.permutation(len(x))[:count])
    return {"x": (x[kept] * 200).tolist(), "y": (y[kept] * 200).tolist(), "size": [256, 256]}


FIND = """async ({places, boxes}) => {
  const { PatchGrid } = await import('/viewer/js/slide/grid.js');
  const grid = new PatchGrid(places, places.size);
  return boxes.map(box => {
    const found = [];
    grid.within(box, index => found.push(index));
    return [found, grid.at({ x: box.x, y: box.y })];
  });
}"""


def test_patches_in_a_window_are_those_that_touch_it(visit: Visit) -> None:
    places = grid(1500, 5)
    x, y = np.array(places["x"]), np.array(places["y"])
    rng = np.random.default_rng(6)
    boxes = [
        {
            "x": float(rng.uniform(-500, x.max() + 500)),
            "y": float(rng.uniform(-500, y.max() + 500)),
            "width": float(rng.uniform(1, 3000)),
            "height": float(rng.uniform(1, 3000)),
        }
        for _ in range(60)
    ]
    given = visit().evaluate(FIND, {"places": places, "boxes": boxes})
    for box, (found, at) in zip(boxes, given, strict=True):
        right = (x < box["x"] + box["width"]) & (x + 256 > box["x"])
        right &= (y < box["y"] + box["height"]) & (y + 256 > box["y"])
        assert found == right.nonzero()[0].tolist()
        around = (x < box["x"]) & (x + 256 > box["x"]) & (y < box["y"]) & (y + 256 > box["y"])
        away = np.hypot(x + 128 - box["x"], y + 128 - box["y"])
        away[~around] = np.inf
        assert at == (int(away.argmin()) if around.any() else None)


MANY, ACROSS = 100_000, 378


def many() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Columns and rows of 100,000 patches, with holes; the script below makes the same."""
    rows, columns = (one.ravel() for one in np.mgrid[:ACROSS, :ACROSS])
    kept = ((rows * 31 + columns * 17) % 10 < 7).nonzero()[0][:MANY]
    return columns[kept], rows[kept]


PAINT = """async ({view, scale}) => {
  const { PatchGrid } = await import('/viewer/js/slide/grid.js');
  const [x, y] = [[], []];
  for (let row = 0; row < 378; row += 1) for (let column = 0; column < 378; column += 1) {
    if ((row * 31 + column * 17) % 10 >= 7 || x.length === 100000) continue;
    x.push(200 * column);
    y.push(200 * row);
  }
  const grid = new PatchGrid({ x, y }, [200, 200]);
  grid.shown = true;
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [view.width * scale, view.height * scale].map(Math.round);
  const paint = canvas.getContext('2d');
  paint.setTransform(scale, 0, 0, scale, -view.x * scale, -view.y * scale);
  let drawn = 0;
  const within = grid.within.bind(grid);
  grid.within = (box, act) => within(box, index => { drawn += 1; act(index); });
  grid.paint(paint, view, scale);
  return { drawn, count: grid.count, picture: canvas.toDataURL().split(',')[1] };
}"""


def test_a_hundred_thousand_patches_are_painted_from_a_picture(visit: Visit) -> None:
    columns, rows = many()
    extent = 200 * ACROSS
    view = {"x": 0, "y": 0, "width": extent, "height": extent}
    given = visit().evaluate(PAINT, {"view": view, "scale": 2 / 200})
    assert (given["drawn"], given["count"]) == (0, MANY), "each patch was drawn by itself"
    picture = Image.open(io.BytesIO(base64.b64decode(given["picture"]))).convert("RGBA")
    right = np.zeros((ACROSS, ACROSS), bool)
    right[rows, columns] = True
    painted = np.asarray(picture)[..., 3] > 0
    assert (painted == right.repeat(2, axis=0).repeat(2, axis=1)).all()


def test_of_a_hundred_thousand_patches_only_those_in_the_window_are_drawn(visit: Visit) -> None:
    view = {"x": 30_000, "y": 30_000, "width": 2_000, "height": 1_000}
    given = visit().evaluate(PAINT, {"view": view, "scale": 0.25})
    x, y = (200 * one for one in many())
    near = (x > 29_800) & (x < 32_000) & (y > 29_800) & (y < 31_000)
    assert given["drawn"] == near.sum() > 20


STREAM = """async text => {
  const { parse } = await import('/viewer/js/jobs/events.js');
  return text.split('\\n\\n').map(parse);
}"""


def test_events_are_read_as_the_standard_says(visit: Visit) -> None:
    text = ': keep\n\nid: 7\nevent: log\ndata: {"number": 7,\ndata: "text": "a: b"}\n\ndata: plain'
    comment, event, plain = visit().evaluate(STREAM, text)
    assert comment is None
    assert event == {"event": "log", "id": "7", "data": {"number": 7, "text": "a: b"}}
    assert (plain["event"], plain["data"]) == ("message", "plain")


@pytest.mark.parametrize(
    "parts", [["slides", "a b/c?d#e&f"], ["slides", "100%"], ["jobs", "new", "mil train"]]
)
def test_addresses_survive_any_name(visit: Visit, parts: list[str]) -> None:
    script = """async parts => {
      const { readRoute, route } = await import('/viewer/js/routes.js');
      const read = readRoute(route(parts, { q: 'x&y=1', none: '' }));
      return { parts: read.parts, query: [...read.query] };
    }"""
    given = visit().evaluate(script, parts)
    assert given == {"parts": parts, "query": [["q", "x&y=1"]]}
