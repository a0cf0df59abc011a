"""Archives made in this process, without Dask: each task runs where it is submitted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from distributed import Client

from tiling.request import CutOptions, SlideSource
from tiling.store import Archive, PatchStore
from tiling.tiler import run
from tiling.tissue import TissueOptions
from wsi import Point, Region, Size, Slide

Pixels = npt.NDArray[np.uint8]

EVERYWHERE = TissueOptions(method="none", thumbnail_px=200)
"""All of the slide is tissue, and next to nothing is computed for it."""


class Done:
    """A Dask future of a task that has run."""

    def __init__(self, task: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._result, self._error = None, None
        try:
            self._result = task(*arguments)
        except Exception as err:  # noqa: BLE001 - a future holds whatever its task raised
            self._error = err
        self.status = "finished" if self._error is None else "error"

    def add_done_callback(self, call: Callable[["Done"], None]) -> None:
        call(self)

    def exception(self) -> Exception | None:
        return self._error

    def result(self) -> Any:
        return self._result


class InlineClient:
    """As much of a Dask client as the tiler asks for; every task runs when it is submitted."""

    def submit(self, task: Callable[..., Any], *arguments: Any, pure: bool) -> Done:
        del pure
        return Done(task, arguments)

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        del n_workers
        return {"workers": {}}

    def cancel(self, futures: list[Done], *, force: bool) -> None:
        del futures, force


def options(**changes: Any) -> CutOptions:
    """Every patch of the finest level, 128 px, unless told otherwise."""
    usual = {"mpp": None, "patch_size_px": 128, "min_tissue": 0.0, "tissue": EVERYWHERE}
    return CutOptions(**(usual | changes))


def cut(
    archive: Path | str, slide: Path | str, slide_id: str = "slide", **changes: Any
) -> PatchStore:
    """Cut one slide into the archive, which is made where there is none."""
    mpp = changes.pop("slide_mpp", None)
    overwrite = changes.pop("overwrite", False)
    opened = Archive.create(str(archive))
    source = SlideSource(slide_id, str(slide), mpp=mpp)
    client = cast("Client", InlineClient())
    summary = run([source], options(**changes), opened, client, overwrite=overwrite)
    (outcome,) = summary.outcomes
    assert outcome.state == "done", outcome.error
    return opened[slide_id]


def read_level(slide: Slide, level: int = 0) -> Pixels:
    """All pixels of a level, as the slide's reader gives them."""
    return slide.read_region(Region(Point(0, 0), level, slide.levels[level].size))


def read_box(slide: Slide, x: int, y: int, width: int, height: int | None = None) -> Pixels:
    """A box of level 0, as the slide's reader gives it."""
    return slide.read_region(Region(Point(x, y), 0, Size(width, height or width)))


def decibel(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """PSNR of 8-bit pictures."""
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-12)))


def mean_of_blocks(pixels: Pixels, side: int) -> npt.NDArray[np.float64]:
    """Means of `side` x `side` pixels; what does not fill a block is left out."""
    height, width = (n // side for n in pixels.shape[:2])
    whole = pixels[: height * side, : width * side].astype(float)
    return whole.reshape(height, side, width, side, 3).mean(axis=(1, 3))


def change_attributes(store: PatchStore, **changes: Any) -> None:
    """Write other attributes into a slide's `zarr.json`, and nothing else."""
    path = Path(store.storage.root, store.slide_id, "zarr.json")
    document = json.loads(path.read_text())
    document["attributes"]["microtome"].update(changes)
    path.write_text(json.dumps(document))
