"""TRIDENT: a run folder `20x_256px_0px_overlap/` with `patches/` and `features_<encoder>/`.

Its readers compute a patch's side at level 0 from magnifications, with a floor; what is written
makes that arithmetic give our rounded side (models/bags/magnification.py).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from models.bags.bag import Bag
from models.bags.clam import read_feature_file
from models.bags.hdf5 import array_of, rows_of, write_hdf5
from models.bags.magnification import level0_magnification, nominal_magnification
from models.bags.sink import Sink
from models.bags.table import Cohort, ForeignBag
from models.errors import BagError

DTYPES = ("float32", "float16")
CSV_IDS = False

MISSING = "None"
"""How it stores what is not known."""


def write(bag: Bag, sink: Sink, dtype: np.dtype[Any]) -> None:
    """Write coordinates and features, both with the footprint; `(0, D)` for n = 0, as it does."""
    folder = run_folder(bag)
    if bag.stride_px > bag.patch_px:
        sink.warn(f"patches lie {bag.stride_px} px apart, which TRIDENT has no word for: overlap 0")
    about = footprint(bag)
    coords = bag.coords.astype(np.int64)
    patches = f"{folder}/patches"
    with sink.file(f"{patches}/{bag.name}_patches.h5") as path:
        write_hdf5(path, {"coords": array_of(coords, about | {"savetodir": patches})})
    features = f"{folder}/features_{bag.encoder_id}"
    made = {"name": bag.name, "savetodir": features, "encoder": bag.encoder_id}
    tables = {
        "features": rows_of(bag, dtype, made),
        "coords": array_of(coords, about | {"savetodir": features}),
    }
    with sink.file(f"{features}/{bag.name}.h5") as path:
        write_hdf5(path, tables)


def finish(cohort: Cohort, sink: Sink) -> None:
    """Write nothing: it has no files about a cohort."""


def read(folder: Path) -> Iterator[ForeignBag]:
    """Read every feature file of a run folder, or of all run folders of a job folder."""
    files = sorted([*folder.glob("features_*/*.h5"), *folder.glob("*/features_*/*.h5")])
    if not files:
        raise BagError(f"{folder} has no features_<encoder>/<slide>.h5")
    encoders = sorted({path.parent.name for path in files})
    if len(encoders) > 1:
        raise BagError(
            f"{folder} has features of several encoders: {', '.join(encoders)}; "
            "name a folder that holds one of them"
        )
    return (read_feature_file(path, path.stem) for path in files)


def run_folder(bag: Bag) -> str:
    """Name of the folder of one magnification, patch size and overlap."""
    magnification = nominal_magnification(bag)
    return f"{magnification:g}x_{bag.patch_px}px_{_overlap(bag)}px_overlap"


def footprint(bag: Bag) -> dict[str, Any]:
    """Attributes of `coords` that say what a patch covers at level 0."""
    target = nominal_magnification(bag)
    side = round(bag.level0_side)
    width, height = bag.level0_size or (MISSING, MISSING)
    return {
        "patch_size": bag.patch_px,
        "patch_size_level0": side,
        "level0_magnification": level0_magnification(bag.patch_px, side, target),
        "target_magnification": target,
        "overlap": _overlap(bag),
        "name": bag.name,
        "level0_width": width,
        "level0_height": height,
    }


def _overlap(bag: Bag) -> int:
    return max(0, bag.patch_px - bag.stride_px)
