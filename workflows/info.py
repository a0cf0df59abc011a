"""`microtome info`: what a slide is, without reading a full-resolution pixel."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PositiveFloat

from workflows.config import POSITIONAL, WorkflowConfig
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback

if TYPE_CHECKING:
    from wsi import Slide


class InfoConfig(WorkflowConfig):
    """Show what a slide is: levels, resolution and its origin, vendor, native tiles.

    Of associated images only the names are told: labels may show who the patient is.
    """

    slide: Annotated[str, POSITIONAL]
    """Path or URL of a slide."""
    reader: str | None = None
    """Read it with this reader (openslide, tiffslide or image); by default chosen by format."""
    slide_mpp: PositiveFloat | None = None
    """Microns per pixel at level 0, in place of what the file says."""


def run(config: InfoConfig, progress: ProgressCallback) -> Outcome:
    """Open the slide and look.

    Raises:
        SlideError: it cannot be opened.
    """
    del progress
    from wsi import open_slide

    with open_slide(config.slide, config.reader, config.slide_mpp) as slide:
        return Outcome(_facts(slide))


def _facts(slide: "Slide") -> dict[str, Any]:
    mpp, problem = _mpp(slide)
    bounds = slide.bounds
    return {
        "path": slide.location,
        "reader": slide.reader,
        "vendor": slide.vendor,
        "objective": slide.objective,
        "mpp": mpp,
        "mpp_problem": problem,
        "width": slide.size.width,
        "height": slide.size.height,
        "bounds": [bounds.location.x, bounds.location.y, bounds.size.width, bounds.size.height],
        "levels": [_level(slide, index, mpp) for index in range(len(slide.levels))],
        "associated": sorted(slide.associated),
        "icc_profile": slide.icc_profile is not None,
    }


def _mpp(slide: "Slide") -> tuple[dict[str, Any] | None, str]:
    from wsi import MissingMppError

    try:
        record = slide.mpp
    except MissingMppError as err:
        return None, str(err)
    return {"x": record.x, "y": record.y, "origin": record.origin}, ""


def _level(slide: "Slide", index: int, mpp: dict[str, Any] | None) -> dict[str, Any]:
    level = slide.levels[index]
    return {
        "level": index,
        "width": level.size.width,
        "height": level.size.height,
        "downsample": level.downsample,
        "mpp": None if mpp is None else [mpp[axis] * level.downsample for axis in ("x", "y")],
        "native": _native(slide, index),
    }


def _native(slide: "Slide", index: int) -> dict[str, Any] | None:
    tiles = slide.native_tiles(index)
    if tiles is None:
        return None
    return {
        "tile": [tiles.tile.width, tiles.tile.height],
        "grid": [tiles.columns, tiles.rows],
        "codec": tiles.codec,
        "passthrough": tiles.standalone and tiles.tile.width == tiles.tile.height,
    }
