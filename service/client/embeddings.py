"""Embeddings of a slide as arrays, or as a table of Arrow."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.client.transport import Transport


@dataclass(frozen=True)
class SlideEmbeddings:
    """Embeddings of a slide's patches; row i of all arrays is the same patch.

    Attributes:
        features: (N, D), as they are stored.
        coords: (N, 2), x and y of the upper left corner in level-0 pixels.
        status: (N,), 0 ok, 1 retried.
    """

    features: NDArray[np.floating]
    coords: NDArray[np.int32]
    status: NDArray[np.uint8]

    def __len__(self) -> int:
        """Count the patches."""
        return len(self.features)


def read_table(transport: Transport, path: str, archive: str | None) -> pa.Table:
    """Read embeddings as a table, a row per patch."""
    params = {"format": "arrow"} | ({"archive": archive} if archive else {})
    answer = transport.ask("GET", path, params=params)
    with pa.ipc.open_stream(answer.content) as reader:
        return reader.read_all()


def to_arrays(table: pa.Table) -> SlideEmbeddings:
    """Give the columns of a table as arrays."""
    vectors = table.column("embedding").combine_chunks()
    dim = table.schema.field("embedding").type.list_size
    flat = vectors.values if isinstance(vectors, pa.FixedSizeListArray) else vectors.flatten()
    features = flat.to_numpy(zero_copy_only=False).reshape(-1, dim)
    coords = np.stack([table.column(name).to_numpy() for name in ("x", "y")], axis=1)
    return SlideEmbeddings(features, coords, table.column("status").to_numpy())
