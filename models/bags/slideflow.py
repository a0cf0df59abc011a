"""slideflow bags: a tensor per slide, an index of patch CENTRES, and `bags_config.json`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bags.bag import Bag, Pair
from models.bags.sink import Sink
from models.bags.table import Cohort, ForeignBag
from models.bags.tensorfile import open_tensor, take_tensor_rows, write_tensor
from models.errors import BagError

DTYPES = ("float32",)
CSV_IDS = False

CONFIG = "bags_config.json"
EXTRACTOR = "microtome.Encoder"
"""slideflow imports the class it finds here to embed more slides, and says so where it cannot."""
TOLERANCE = 0.03


def write(bag: Bag, sink: Sink, dtype: np.dtype[Any]) -> None:
    """Write tensor and index; nothing for n = 0, as it does."""
    bag.require_mpp("slideflow")
    if not len(bag):
        return
    with sink.stream(f"{bag.name}.pt") as file:
        write_tensor(file, bag.blocks(dtype=dtype), (len(bag), bag.dim), dtype)
    with sink.file(f"{bag.name}.index.npz") as path, path.open("wb") as file:
        np.savez(file, arr_0=centres(bag.coords, bag.level0_patch))


def finish(cohort: Cohort, sink: Sink) -> None:
    """Write the configuration, which names the encoder and the size of patches."""
    slides = [slide for slide in cohort.slides if slide.count and slide.mpp_effective]
    if not slides:
        return
    sides = [slide.patch_px * sum(slide.mpp_effective or (0, 0)) / 2 for slide in slides]
    pixels = sorted({slide.patch_px for slide in slides})
    middle = float(np.median(sides))
    if len(pixels) > 1 or max(abs(side / middle - 1) for side in sides) > TOLERANCE:
        sink.warn(f"patches of {min(sides):g} to {max(sides):g} um; {CONFIG} says {middle:g}")
    card = cohort.card
    chosen = {"name": card.name, "layer": card.layer, "weights_sha256": card.weights_sha256}
    config = {
        "extractor": {"class": EXTRACTOR, "kwargs": chosen},
        "normalizer": None,
        "num_features": cohort.dim,
        "tile_px": pixels[0],
        "tile_um": middle,
    }
    sink.text(CONFIG, json.dumps(config, indent=1) + "\n")


def read(folder: Path) -> Iterator[ForeignBag]:
    """Read every tensor of a folder with its index.

    Raises:
        BagError: there is none, or an index is missing.
    """
    files = sorted(folder.glob("*.pt"))
    if not files:
        raise BagError(f"{folder} has no bags (*.pt)")
    return map(_read_one, files)


def _read_one(path: Path) -> ForeignBag:
    tensor = open_tensor(path)
    centre = _index(path)
    if centre.shape != (len(tensor), 2):
        raise BagError(f"{path}: {len(tensor)} rows do not fit an index of {centre.shape}")
    dtype = tensor[:0].numpy().dtype
    return ForeignBag(path.stem, centre, "centre", tensor.shape[1], dtype, take_tensor_rows(tensor))


def _index(path: Path) -> NDArray[Any]:
    packed, plain = path.with_suffix(".index.npz"), path.with_suffix(".index.npy")
    try:
        if packed.is_file():
            with np.load(packed, allow_pickle=False) as file:
                values: NDArray[Any] = file["arr_0"]
            return values
        found: NDArray[Any] = np.load(plain, allow_pickle=False)
    except (OSError, ValueError, KeyError) as err:
        raise BagError(f"{packed} cannot be read as the index of {path.name}: {err}") from err
    return found


def centres(coords: NDArray[np.int32], level0_patch: Pair) -> NDArray[np.int64]:
    """Centres `(n, 2)` of patches whose corners are `coords`, rounded down as slideflow does."""
    middle = coords + np.array(level0_patch) / 2
    return np.floor(middle + 1e-6).astype(np.int64)
