"""torchmil with `.h5` files instead of `.npy`; everything else is as in `models.bags.torchmil`.

Patch labels are read from `.h5` by torchmil 1.0.2 and later only.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bags.bag import Bag
from models.bags.hdf5 import array_of, opened, rows_of, take_rows, write_hdf5
from models.bags.sink import Sink
from models.bags.torchmil import CSV_IDS, DTYPES, Layout

__all__ = ["CSV_IDS", "DTYPES", "finish", "read", "write"]


class _Hdf5(Layout):
    extension = ".h5"

    def put_features(self, sink: Sink, name: str, bag: Bag, dtype: np.dtype[Any]) -> None:
        with sink.file(name) as path:
            write_hdf5(path, {"features": rows_of(bag, dtype)})

    def put_array(self, path: Path, name: str, values: NDArray[Any]) -> None:
        write_hdf5(path, {name: array_of(values, grows=False)})

    def describe(self, path: Path, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        with opened(path) as file:
            return file[name].shape, file[name].dtype

    def take(self, path: Path, name: str, indices: NDArray[np.int64]) -> NDArray[Any]:
        return take_rows(path, name, indices)


_LAYOUT = _Hdf5()
write, finish, read = _LAYOUT.write, _LAYOUT.finish, _LAYOUT.read
