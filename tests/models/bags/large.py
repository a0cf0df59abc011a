"""A large slide of an archive, without pixels: what exporters read of one, and nothing else."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.models.bags.planted import ENCODER, card
from tiling import zarrjson
from tiling.embeddings import EmbeddingPlan, array_key, commit, put_shard
from tiling.store import DOCUMENT, Archive, SlideWriter, slide_document

COLUMNS = 500


def make_large(location: Path, count: int, dim: int, slide_id: str = "large") -> None:
    """Write a slide of `count` patches on a grid, and random rows, shard by shard."""
    archive = Archive.create(str(location))
    writer = SlideWriter(archive.storage, slide_id)
    row, column = np.divmod(np.arange(count, dtype=np.int32), COLUMNS)
    coords = np.stack([column, row], axis=1) * 256
    arrays = {
        "coords": zarrjson.small_array(coords, "i4"),
        "tissue_fraction": zarrjson.small_array(np.ones(count), "f4"),
        "status": zarrjson.small_array(np.zeros(count), "u1"),
        "tissue_mask": zarrjson.small_array(np.ones((100, 100)), "u1", compress=True),
    }
    for name, array in arrays.items():
        writer.put_array(name, array)
    archive.storage.write(f"{slide_id}/{DOCUMENT}", [slide_document(attributes(count, slide_id))])
    random = np.random.default_rng(0)
    plan = EmbeddingPlan(count, dim, "f4")
    key = array_key(slide_id, ENCODER)
    for number in range(plan.shards):
        rows = random.random((len(plan.rows(number)), dim), np.float32)
        put_shard(archive.storage, key, plan, number, rows)
    commit(archive.storage, key, plan, {"card": card(dim).document()})


def attributes(count: int, slide_id: str) -> dict[str, Any]:
    rows = -(-count // COLUMNS)
    size = {"width": COLUMNS * 256, "height": rows * 256, "downsample": 1.0}
    grid = {
        "origin_x": 0.0,
        "origin_y": 0.0,
        "step_x": 256.0,
        "step_y": 256.0,
        "extent_x": 256.0,
        "extent_y": 256.0,
        "columns": COLUMNS,
        "rows": rows,
        "downsample": 1.0,
    }
    return {
        "slide_id": slide_id,
        "patient": "p",
        "site": "",
        "labels": {"label": "a", "split": ""},
        "levels": [size],
        "bounds": [0, 0, size["width"], size["height"]],
        "mpp": {"x": 0.5, "y": 0.5, "origin": "made up"},
        "mpp_requested": 0.5,
        "mpp_effective": [0.5, 0.5],
        "objective": 20.0,
        "level": 0,
        "reduction": [1.0, 1.0],
        "patch_size_px": 256,
        "stride_px": 256,
        "patch_size_level0": [256.0, 256.0],
        "stride_level0": [256.0, 256.0],
        "grid": grid,
        "min_tissue": 0.1,
        "tissue": {"method": "none"},
        "reader": "none",
        "vendor": "",
        "source": {"uri": f"/slides/{slide_id}.svs"},
        "n_patches": count,
        "n_unreadable": 0,
    }


def peak_of_exports(argument: str, names: list[str]) -> None:
    """Make an archive and print by how many bytes each export raised the peak of memory."""
    from resource import RUSAGE_SELF, getrusage

    from tests.models.bags.exporting import export_folder

    folder, count, dim = argument.split(",")
    archive = Path(folder) / "archive.zarr"
    make_large(Path(folder) / "warm.zarr", 100, int(dim))
    make_large(archive, int(count), int(dim))
    for name in names:
        export_folder(Path(folder) / "warm.zarr", name, Path(folder) / f"warm-{name}")
        before = getrusage(RUSAGE_SELF).ru_maxrss
        export_folder(archive, name, Path(folder) / name)
        sys.stdout.write(f"{name} {(getrusage(RUSAGE_SELF).ru_maxrss - before) * 1024}\n")


if __name__ == "__main__":
    peak_of_exports(sys.argv[1], sys.argv[2:])
