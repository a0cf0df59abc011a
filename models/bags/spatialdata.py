"""SpatialData as wsidata and LazySlide lay it out: one `<slide>.zarr` per slide.

Tissue and patches are shapes, embeddings are a table `<encoder>_tiles`; both link by `tile_id`,
which is the patch's row in the archive. Writing needs the extra `interop`, reading does not. A
slide without patches has no store: SpatialData refuses shapes without rows.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from models.bags import spatialstore
from models.bags.bag import Bag
from models.bags.sink import Sink
from models.bags.table import Cohort, ForeignBag
from models.bags.tissues import NONE, find_pieces
from models.errors import MissingExtraError
from tiling import zarrjson
from tiling.embeddings import EmbeddingPlan
from tiling.shard import shard_parts

DTYPES = ("float32",)
CSV_IDS = False

EXTENSION = ".zarr"
TILES, TISSUES = "tiles", "tissues"
SUFFIX = f"_{TILES}"
"""End of a table's name; wsidata finds no table without it."""


def write(bag: Bag, sink: Sink, dtype: np.dtype[Any]) -> None:
    """Write one slide as a store of its own.

    Raises:
        MissingExtraError: spatialdata is not installed.
    """
    if not len(bag):
        return
    with sink.folder(f"{bag.name}{EXTENSION}") as path:
        write_store(path, bag, dtype)


def finish(cohort: Cohort, sink: Sink) -> None:
    """Write nothing: each slide is complete by itself."""
    del cohort, sink


def read(folder: Path) -> Iterator[ForeignBag]:
    """Read every store of a folder, those of LazySlide too.

    Raises:
        BagError: there is none, or one has no table of features, or several.
    """
    return spatialstore.read(folder, EXTENSION)


def table_name(encoder_id: str) -> str:
    """Name of the table of an encoder; SpatialData allows fewer characters than we do."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", encoder_id) + SUFFIX


def write_store(path: Path, bag: Bag, dtype: np.dtype[Any]) -> None:
    """Write a store: all but the features by spatialdata, and these in blocks.

    Raises:
        MissingExtraError: spatialdata is not installed.
    """
    try:
        import anndata
        from spatialdata import SpatialData
    except ModuleNotFoundError as err:
        raise MissingExtraError(
            f"{err.name} is not installed; this needs: pip install 'microtome[interop]'"
        ) from err
    name = table_name(bag.encoder_id)
    shapes = _shapes(bag)
    attributes = _attributes(bag, has_tissue=TISSUES in shapes)
    data = SpatialData(shapes=shapes, tables={name: _table(bag)}, attrs=attributes)
    with anndata.settings.override(auto_shard_zarr_v3=False):  # small arrays: one chunk each
        data.write(path, consolidate_metadata=False)
    _write_rows(path / "tables" / name / "X", bag, dtype)
    spatialstore.consolidate(path)


def tile_spec(bag: Bag, *, has_tissue: bool) -> dict[str, Any]:
    """Describe the patches as wsidata does; it cuts both products off to whole pixels.

    `width * ops_downsample` is read at `ops_level`, the level that we read, and `width *
    base_downsample` is the side of the boxes.
    """
    side = bag.patch_px
    level = int(bag.attributes.get("level") or 0)
    downsample = bag.levels[level]["downsample"] if bag.levels else 1.0
    mpp = bag.mpp_effective
    return {
        "height": side,
        "width": side,
        "stride_height": bag.stride_px,
        "stride_width": bag.stride_px,
        "mpp": sum(mpp) / 2 if mpp else None,
        "ops_level": level,
        "ops_downsample": _ratio(round(bag.level0_side / downsample), side),
        "base_level": 0,
        "base_downsample": _ratio(round(bag.level0_side), side),
        "tissue_name": TISSUES if has_tissue else None,
    }


def slide_properties(bag: Bag) -> dict[str, Any] | None:
    """Describe the slide as wsidata does; None for imported patches, whose slide is not known."""
    if not bag.levels:
        return None
    shapes = [[int(level["height"]), int(level["width"])] for level in bag.levels]
    source = bag.attributes.get("source") or {}
    raw = {"slide_id": bag.slide_id, "vendor": bag.attributes.get("vendor"), "source": source}
    return {
        "shape": shapes[0],
        "n_level": len(shapes),
        "level_shape": shapes,
        "level_downsample": [float(level["downsample"]) for level in bag.levels],
        "mpp": sum(bag.mpp0) / 2 if bag.mpp0 else None,
        "magnification": bag.objective,
        "bounds": [round(value) for value in bag.bounds] if bag.bounds else None,
        "raw": json.dumps(raw, sort_keys=True),
    }


def _ratio(pixels: int, side: int) -> float:
    """The ratio whose product with `side` is cut off to `pixels`, and not to one less."""
    ratio = pixels / side
    return ratio if int(side * ratio) == pixels else math.nextafter(ratio, math.inf)


def _attributes(bag: Bag, *, has_tissue: bool) -> dict[str, Any]:
    known = {"slide_id": bag.slide_id, "encoder_id": bag.encoder_id, "card": bag.card.document()}
    made: dict[str, Any] = {
        "tile_spec": {TILES: tile_spec(bag, has_tissue=has_tissue)},
        "microtome": known,
    }
    properties = slide_properties(bag)
    return made if properties is None else made | {"slide_properties": properties}


def _shapes(bag: Bag) -> dict[str, Any]:
    import shapely
    from geopandas import GeoDataFrame
    from spatialdata.models import ShapesModel

    pieces = find_pieces(bag)
    x, y = bag.coords.T
    width, height = (round(side) for side in bag.level0_patch)
    centres = bag.coords + np.array(bag.level0_patch) / 2
    tiles = {
        "tile_id": bag.rows,
        "x": x.astype(np.int64),
        "y": y.astype(np.int64),
        "tissue_id": np.full(len(bag), NONE) if pieces is None else pieces.at(centres),
        "geometry": shapely.box(x, y, x + width, y + height),
    }
    made = {TILES: ShapesModel.parse(GeoDataFrame(tiles))}
    if pieces is not None and pieces.count:
        tissue = {"tissue_id": np.arange(pieces.count), "geometry": list(pieces.polygons())}
        made[TISSUES] = ShapesModel.parse(GeoDataFrame(tissue))
    return made


def _table(bag: Bag) -> Any:
    """Make the table without its features, which are written in blocks afterwards."""
    import pandas as pd
    from anndata import AnnData
    from spatialdata.models import TableModel

    library = pd.Categorical.from_codes(np.zeros(len(bag), np.int8), [TILES])
    obs = pd.DataFrame({"tile_id": bag.rows, "library_id": library}, index=bag.rows.astype(str))
    var = pd.DataFrame(index=pd.RangeIndex(bag.dim).astype(str))
    table = AnnData(X=None, obs=obs, var=var)
    return TableModel.parse(table, region=TILES, region_key="library_id", instance_key="tile_id")


def _write_rows(array: Path, bag: Bag, dtype: np.dtype[Any]) -> None:
    """Write the features in shards of at most 64 MB: two files for most slides.

    Shards are put together here, as for the archive; zarr takes several times as long.
    """
    plan = EmbeddingPlan(len(bag), bag.dim, dtype.str[1:])
    few, capacity = plan.chunk_rows, plan.chunks_per_shard
    for number in range(plan.shards):
        rows = plan.rows(number)
        blocks = (bag.read(i, min(i + few, rows.stop), dtype) for i in rows[::few])
        chunks = [b.tobytes().ljust(few * bag.dim * dtype.itemsize, b"\0") for b in blocks]
        path = array / "c" / str(number) / "0"
        path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            file.writelines(shard_parts(chunks, capacity))
    document = zarrjson.array_document(
        (plan.count, plan.dim),
        plan.dtype,
        chunks=(capacity * few, plan.dim),
        codecs=[zarrjson.sharding_codec((few, plan.dim), [zarrjson.LITTLE])],
        attributes={"encoding-type": "array", "encoding-version": "0.2.0"},
    )
    (array / "zarr.json").write_bytes(document)
