"""`microtome map --attention`: what slide classifiers looked at, as pictures and for QuPath.

`microtome mil predict --maps` stores attention; where it has not, it is asked to.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workflows.errors import UsageError
from workflows.extras import needs
from workflows.mapping.rectangles import write_rectangles
from workflows.mapping.slides import each_slide, open_archive, slide_names
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback

if TYPE_CHECKING:
    from models.bags.patches import Patches
    from tiling.store import Archive, PatchStore
    from workflows.mapping.config import MapConfig

KIND = "attention"
KNOWN = ("png", "geojson")
PICTURE_PX = 1200
"""Longest side of the thumbnail and of the attention, which lie side by side."""

Floats = NDArray[np.floating[Any]]


def run_attention(config: "MapConfig", progress: ProgressCallback) -> Outcome:
    """Write the attention of every slide.

    Raises:
        UsageError: there is no such run, and no map of that name; or an option makes no sense.
        StoreError: there is no archive.
        BagError: slides lack the embeddings of the run's encoder.
        ConflictError: another run has stored maps of this name.
    """
    wanted = {str(kind) for kind in config.formats if kind in KNOWN}
    if "formats" in config.model_fields_set and set(config.formats) - set(KNOWN):
        told = ", ".join(sorted(set(config.formats) - set(KNOWN)))
        raise UsageError(f"attention is written as png and geojson, got --formats {told}")
    archive = open_archive(config)
    names = slide_names(config, archive)
    with needs("models"):
        name = _stored(config, archive, names, progress)
    return each_slide(config, names, progress, partial(_slide, config, archive, name, wanted), name)


def _stored(
    config: "MapConfig", archive: "Archive", names: list[str], progress: ProgressCallback
) -> str:
    """Give the name of the maps; a run whose maps are missing is asked for them first."""
    from tiling.maps import map_names
    from workflows.mil.attention import map_name
    from workflows.mil.folder import RECORD, RunFolder

    folder = RunFolder(str(config.attention))
    name = config.name or map_name(folder.name)
    stores = list(archive.sound_stores(names))
    if config.name is None and (folder.path / RECORD).is_file():
        identity = folder.record()["identity"]
        if any(_lacks(store, name, identity) for store in stores):
            _predict(config, progress)
        return name
    every = {known for store in stores for known in map_names(store)}
    if name in every:
        return name
    raise UsageError(
        f"--attention: {config.attention} is no finished run of microtome mil train, and no slide "
        f"has a map {name!r}; there are: {', '.join(sorted(every)) or 'none'}"
    )


def _lacks(store: "PatchStore", name: str, identity: str) -> bool:
    """Whether a slide with patches has no map of the run."""
    from models.bags.patches import Patches
    from tiling.maps import SlideMap, map_names

    if not len(Patches(store)):
        return False
    if name not in map_names(store):
        return True
    found: dict[str, Any] = SlideMap(store, name).attributes.get("model", {})
    return found.get("identity") != identity


def _predict(config: "MapConfig", progress: ProgressCallback) -> None:
    from workflows.mil_predict import MilPredictConfig, run

    run(
        MilPredictConfig(
            run=str(config.attention),
            archives=config.slides,
            maps=True,
            overwrite=config.overwrite,
            device=config.device,
        ),
        progress,
    )


def _slide(
    config: "MapConfig", archive: "Archive", name: str, wanted: set[str], slide_id: str
) -> dict[str, Any]:
    """Write the files of one slide."""
    from models.bags.patches import Patches
    from workflows.mil.attention import plain_name

    patches = Patches(archive[slide_id])
    known: dict[str, Any] = {"state": "skipped", "patches": len(patches), "files": {}}
    if not len(patches):
        return known | {"why": "it has no readable patch"}
    channels = read_attention(patches, name)
    if config.out is None:
        return known
    folder = Path(config.out).expanduser() / slide_id
    if "png" in wanted:
        for channel, values in channels.items():
            end = "" if len(channels) == 1 else f".{plain_name(channel)}"
            path = folder / f"{name}{end}.png"
            _write_png(patches, values, path)
            known["files"][f"png{end}"] = str(path)
    if "geojson" in wanted:
        path = folder / f"{name}.geojson"
        write_rectangles(patches, channels, path)
        known["files"]["geojson"] = str(path)
    return known | {"state": "done"}


def read_attention(patches: "Patches", name: str) -> dict[str, Floats]:
    """Read the stored attention of a slide's readable patches, `(n,)`, by channel.

    Raises:
        StoreError: the slide has no such map, or it is of another kind.
        CorruptStoreError: it does not fit the slide's patches.
    """
    from tiling.errors import CorruptStoreError, StoreError
    from tiling.maps import SlideMap

    found = SlideMap(patches.store, name)
    kind = found.attributes.get("kind")
    if kind != KIND:
        raise StoreError(f"the map {name!r} is no attention, its kind is {kind!r}")
    values = found.read("patches")
    channels = [str(channel) for channel in found.attributes["channels"]]
    if values.shape != (len(channels), len(patches.store)):
        raise CorruptStoreError(
            f"the map {name!r} of {patches.slide_id} has values {values.shape} for "
            f"{len(channels)} channels and {len(patches.store)} patches"
        )
    kept = values[:, patches.rows]
    if not np.isfinite(kept).all():
        raise CorruptStoreError(
            f"the map {name!r} of {patches.slide_id} lacks the attention of readable patches; "
            "store it anew: microtome mil predict --maps --overwrite"
        )
    return dict(zip(channels, kept, strict=True))


def _write_png(patches: "Patches", values: Floats, path: Path) -> None:
    from PIL import Image

    from models.files import replacing
    from workflows.reporting.attention import draw_attention

    picture = Image.fromarray(draw_attention(patches, values, max_px=PICTURE_PX))
    with replacing(path) as temporary:
        picture.save(temporary, "PNG")
