"""Each export format against writing the same bytes with its plain library, both to the disk."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.bags.bag import Bag
from models.bags.sink import Sink
from models.bags.table import Format, choose_dtype, open_format
from tests.benchmarks.clock import Row
from tests.models.bags.large import make_large
from tests.models.bags.planted import ENCODER
from tiling.store import Archive

ROWS, DIM = 20_000, 1_536
REPEATS = 5
LIMIT = 2.0
"""An export may take this many times as long as its plain library."""

Values = np.ndarray[Any, Any]
Write = Callable[[Path, Values], None]


def measure(names: Sequence[str] = ()) -> list[Row]:
    """Export one slide of 20,000 x 1,536 float32 in every format."""
    folder = Path(tempfile.mkdtemp(prefix="bench-export-", dir=os.environ.get("BENCH_DIR")))
    try:
        make_large(folder / "a.zarr", ROWS, DIM)
        bag = Bag(Archive.open(str(folder / "a.zarr"))["large"], ENCODER)
        return [_row(name, bag, folder / name) for name in names or PLAIN]
    finally:
        shutil.rmtree(folder)


def _row(name: str, bag: Bag, folder: Path) -> Row:
    module = open_format(name)
    dtype = np.dtype(choose_dtype(name, module, bag.dtype, None))
    values = bag.read(dtype=dtype)
    ours, plain = [], []
    for number in range(REPEATS):  # in turns, as other work on the machine comes and goes
        place = folder / f"ours-{number}"
        ours.append(_seconds(lambda at=place: _export(module, bag, at, dtype)))
        place = folder / f"plain-{number}"
        place.mkdir(parents=True)
        plain.append(_seconds(lambda at=place: _plain(name, at, values)))
        shutil.rmtree(folder)
    ratio = min(ours) / min(plain)
    what = f"export {name}, {ROWS:,} x {DIM:,} {dtype.name}"
    against = f"{min(plain):.2f} s with {', '.join(PLAIN[name])}"
    return Row(what, min(ours), "s", against, ratio, f"<= {LIMIT:g}", ratio <= LIMIT)


def _export(module: Format, bag: Bag, folder: Path, dtype: np.dtype[Any]) -> None:
    sink = Sink(folder)
    module.write(bag, sink, dtype)
    sink.flush()


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _plain(name: str, folder: Path, values: Values) -> None:
    """Write the same big arrays in one call each, and flush them to the disk."""
    for number, library in enumerate(PLAIN[name]):
        place = folder / f"{number}"
        LIBRARIES[library](place, values)
        files = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
        for path in files:
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _torch(path: Path, values: Values) -> None:
    import torch

    torch.save(torch.from_numpy(values), path)


def _h5py(path: Path, values: Values) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        shape = (None, values.shape[1])
        file.create_dataset("features", data=values, chunks=(32, values.shape[1]), maxshape=shape)


def _numpy(path: Path, values: Values) -> None:
    with path.open("wb") as file:
        np.save(file, values)


def _zarr(path: Path, values: Values) -> None:
    import anndata

    table = anndata.AnnData(values)
    table.write_zarr(path)


def _pyarrow(path: Path, values: Values) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = pa.array(values.ravel())
    rows = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    table = pa.table({"embedding": rows})
    pq.write_table(table, path, compression="zstd", row_group_size=8192)


LIBRARIES: dict[str, Write] = {
    "torch.save": _torch,
    "h5py": _h5py,
    "numpy.save": _numpy,
    "anndata": _zarr,
    "pyarrow": _pyarrow,
}
PLAIN = {
    "clam": ("torch.save", "h5py"),
    "trident": ("h5py",),
    "stamp": ("h5py",),
    "torchmil": ("numpy.save",),
    "spatialdata": ("anndata",),
    "slideflow": ("torch.save",),
    "slide2vec": ("torch.save",),
    "parquet": ("pyarrow",),
}
"""Which libraries write the big arrays of a format, once each."""
