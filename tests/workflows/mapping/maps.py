"""Class maps whose polygons, areas and pyramids can be known otherwise."""

import numpy as np
import numpy.typing as npt

from tiling.tissuemap import NO_CLASS, ArrayMap, Legend
from tiling.windows import MapFrame
from wsi.geometry import Mpp

Bytes = npt.NDArray[np.uint8]

LEGEND = Legend(("Tumor", "Stroma", "Nécrose"), ((200, 0, 0), (0, 160, 10), (10, 20, 250)))
N = NO_CLASS

SHAPES: dict[str, list[list[int]]] = {
    "one pixel": [[0]],
    "nothing": [[N, N], [N, N]],
    "an island of one pixel": [[1, 1, 1], [1, 0, 1], [1, 1, 1]],
    "pixels that touch at a corner": [[0, N], [N, 0]],
    "the other diagonal": [[N, 0], [0, N]],
    "two classes crossing": [[0, 1], [1, 0]],
    "a ring closed at a corner": [[0, 0, 0, N], [0, N, 0, N], [0, 0, N, 0], [N, N, 0, 0]],
    "holes that touch": [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]],
    "a hole that touches the outline": [[0, 0, 0], [0, N, 0], [0, 0, N]],
    "closed only below": [[0, N, 0], [0, N, 0], [0, N, 0], [0, 0, 0]],
    "closed only above": [[0, 0, 0], [0, N, 0], [0, N, 0], [0, N, 0]],
    "nested": [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 1, 0, 1, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0],
    ],
    "one row": [[0, 0, N, 1, 1, 2, 0]],
    "one column": [[0], [N], [1], [1], [2]],
}


def map_of(classes: Bytes, entropy: Bytes | None = None, **changes: float) -> ArrayMap:
    """A map of three classes; 4 x 2.5 level-0 px per pixel from (30, 20), 1 x 0.625 um/px."""
    height, width = classes.shape
    place = {"level0_x": 30.0, "level0_y": 20.0, "level0_step_x": 4.0, "level0_step_y": 2.5}
    frame = MapFrame(height, width, mpp=Mpp(1.0, 0.625), **(place | changes))
    blank = np.zeros_like(classes) if entropy is None else entropy
    return ArrayMap(LEGEND, frame, classes, blank)


def patchy(height: int, width: int, seed: int = 0) -> Bytes:
    """Pieces of all sizes with ragged edges, islands, holes and glass."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((2, 3, height, width))
    coarse = np.stack([ndimage.gaussian_filter(plane, 9) * 18 for plane in noise[0]])
    fine = np.stack([ndimage.gaussian_filter(plane, 1) for plane in noise[1]])
    score = coarse + fine
    classes = score.argmax(axis=0).astype(np.uint8)
    classes[score.max(axis=0) < 0.1] = NO_CLASS
    return classes
