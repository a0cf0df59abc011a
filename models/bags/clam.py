"""CLAM: `pt_files/` and `h5_files/` of features, `patches/` of coordinates, two kinds of CSV.

Patch sizes in `patches/` are pixels of `patch_level`, not of the patch as it was embedded.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bags.bag import Bag
from models.bags.csvfile import csv_text
from models.bags.hdf5 import array_of, opened, rows_of, take_rows, write_hdf5
from models.bags.sink import Sink
from models.bags.table import Cohort, ForeignBag, SlideFacts
from models.bags.tensorfile import open_tensor, take_tensor_rows, write_tensor
from models.errors import BagError

DTYPES = ("float32",)
"""A half-precision tensor reaches a single-precision layer there, and fails."""
CSV_IDS = True
LEAST_PATCHES = 8
"""Instances that its clustering loss samples; a smaller bag fails in training."""
SPLITS = ("train", "val", "test")


def write(bag: Bag, sink: Sink, dtype: np.dtype[Any]) -> None:
    """Write features twice, as its loaders take either, and coordinates; nothing for n = 0."""
    if not len(bag):
        return
    if len(bag) < LEAST_PATCHES:
        sink.warn(f"{len(bag)} patches, and CLAM's instance loss needs {LEAST_PATCHES}")
    with sink.stream(f"pt_files/{bag.name}.pt") as file:
        write_tensor(file, bag.blocks(dtype=dtype), (len(bag), bag.dim), dtype)
    with sink.file(f"h5_files/{bag.name}.h5") as path:
        write_hdf5(path, {"features": rows_of(bag, dtype), "coords": array_of(bag.coords)})
    with sink.file(f"patches/{bag.name}.h5") as path:
        coords = array_of(bag.coords.astype(np.int64), _region_attributes(bag))
        write_hdf5(path, {"coords": coords})


def finish(cohort: Cohort, sink: Sink) -> None:
    """Write `dataset.csv` and, where slides name a split, `splits_0.csv`."""
    slides = _labelled([slide for slide in cohort.slides if slide.count], sink)
    rows = [(slide.patient, slide.name, slide.label) for slide in slides]
    sink.text("dataset.csv", csv_text(("case_id", "slide_id", "label"), rows))
    if any(slide.split for slide in slides):
        sink.text("splits_0.csv", _splits(slides))


def _labelled(slides: list[SlideFacts], sink: Sink) -> list[SlideFacts]:
    """Leave out slides without a label where others have one: CLAM stops at the first of them."""
    known = [slide for slide in slides if slide.label]
    if not known or len(known) == len(slides):
        return slides
    missing = [slide.name for slide in slides if not slide.label]
    sink.warn(f"slides without a label are not in dataset.csv: {', '.join(missing)}")
    return known


def read(folder: Path) -> Iterator[ForeignBag]:
    """Read every slide that has features; h5 files know coordinates, `pt` alone need `patches/`."""
    names = {path.stem for part in ("h5_files", "pt_files") for path in (folder / part).glob("*.*")}
    if not names:
        raise BagError(f"{folder} has neither h5_files nor pt_files with bags")
    return (_read_one(folder, name) for name in sorted(names))


def _read_one(folder: Path, name: str) -> ForeignBag:
    path = folder / "h5_files" / f"{name}.h5"
    if path.is_file():
        return read_feature_file(path, name)
    tensor = open_tensor(folder / "pt_files" / f"{name}.pt")
    with opened(folder / "patches" / f"{name}.h5") as file:
        coords: NDArray[Any] = file["coords"][:]
    if len(coords) != len(tensor):
        raise BagError(f"{name}: {len(tensor)} rows of features for {len(coords)} coordinates")
    dtype = tensor[:0].numpy().dtype
    return ForeignBag(name, coords, "corner", tensor.shape[1], dtype, take_tensor_rows(tensor))


def read_feature_file(path: Path, name: str) -> ForeignBag:
    """Read an HDF5 file with `features (n, D)` and `coords (n, 2)`, as CLAM and TRIDENT write.

    Raises:
        BagError: it has none of these, or of different lengths.
    """
    with opened(path) as file:
        features, coords = file["features"], file["coords"][:]
        shape, dtype = features.shape, features.dtype
    if len(shape) != 2 or coords.shape != (shape[0], 2):
        raise BagError(f"{path}: features {shape} do not fit coords {coords.shape}")
    take = partial(take_rows, path, "features")
    return ForeignBag(name, coords, "corner", shape[1], dtype, take)


def _region_attributes(bag: Bag) -> dict[str, Any]:
    """Say which pixels of which level a patch is, as CLAM's own file of coordinates does."""
    level = _matching_level(bag)
    known = bag.levels
    width, height = bag.level0_size or (0, 0)
    down = float(known[level]["downsample"]) if known else 1.0
    level_dim = (known[level]["width"], known[level]["height"]) if known else (width, height)
    side = bag.patch_px if known and level_is_patches(bag, level) else round(bag.level0_side / down)
    return {
        "patch_size": side,
        "patch_level": level,
        "downsample": (down, down),
        "downsampled_level_dim": np.array(level_dim),
        "level_dim": np.array(level_dim),
        "name": bag.name,
        "save_path": "patches",
    }


def _matching_level(bag: Bag) -> int:
    """Find the level whose pixels are the patches' pixels; 0 where there is none."""
    return next((i for i in range(len(bag.levels)) if level_is_patches(bag, i)), 0)


def level_is_patches(bag: Bag, level: int) -> bool:
    """Whether pixels of a level are pixels of the patches, to half a pixel over a patch's side."""
    covered = bag.level0_side / float(bag.levels[level]["downsample"])
    return abs(covered - bag.patch_px) < 0.5


def _splits(slides: Sequence[SlideFacts]) -> str:
    columns = [[slide.name for slide in slides if slide.split == part] for part in SPLITS]
    length = max(map(len, columns))
    rows = [
        [str(number), *(column[number] if number < len(column) else None for column in columns)]
        for number in range(length)
    ]
    return csv_text(("", *SPLITS), rows)
