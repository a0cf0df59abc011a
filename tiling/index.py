"""`slides.parquet`: one row per committed slide, derived from the groups and rebuilt from them."""

import io
import time
from typing import Any

from tiling.lease import Leases
from tiling.store import INDEX, Archive, PatchStore

Row = dict[str, Any]

INDEX_LEASE = ".index"
POLL_S = 0.5


def slide_row(store: PatchStore) -> Row:
    """Give a slide's row of the index."""
    known = store.attributes
    stored = {key: entry[0] for key, entry in known["checksums"].items()}
    return {
        "slide_id": store.slide_id,
        "patient": known["patient"],
        "site": known["site"],
        "label": known["labels"]["label"],
        "split": known["labels"]["split"],
        "n_patches": known["n_patches"],
        "n_unreadable": known["n_unreadable"],
        "patch_size_px": known["patch_size_px"],
        "mpp_x": known["mpp"]["x"],
        "mpp_y": known["mpp"]["y"],
        "mpp_origin": known["mpp"]["origin"],
        "mpp_effective_x": known["mpp_effective"][0],
        "mpp_effective_y": known["mpp_effective"][1],
        "encoding": known["encoding"]["label"],
        "bytes": sum(stored.values()),
        "vendor": known["vendor"],
        "reader": known["reader"],
        "source": known["source"]["uri"],
        "config_hash": known["config_hash"],
        "created": known["created"],
    }


def rebuild_index(archive: Archive) -> list[Row]:
    """Write the index from the committed slides and give its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [slide_row(store) for store in archive.stores()]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_schema(pa)), buffer, compression="zstd")
    archive.storage.write(INDEX, [buffer.getvalue()])
    return rows


def update_index(archive: Archive, leases: Leases) -> None:
    """Rebuild the index; one run at a time, so that none writes an older view over a newer."""
    while not leases.acquire(INDEX_LEASE):
        time.sleep(POLL_S)
    rebuild_index(archive)
    leases.release(INDEX_LEASE)


def read_index(archive: Archive) -> list[Row]:
    """Read the index, rebuilding it where it is missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data = archive.storage.read(INDEX)
    except FileNotFoundError:
        return rebuild_index(archive)
    rows: list[Row] = pq.read_table(pa.BufferReader(data)).to_pylist()
    return rows


def _schema(pa: Any) -> Any:
    text = ["slide_id", "patient", "site", "label", "split"]
    counts = ["n_patches", "n_unreadable", "patch_size_px"]
    return pa.schema(
        [(name, pa.string()) for name in text]
        + [(name, pa.int64()) for name in counts]
        + [("mpp_x", pa.float64()), ("mpp_y", pa.float64()), ("mpp_origin", pa.string())]
        + [("mpp_effective_x", pa.float64()), ("mpp_effective_y", pa.float64())]
        + [("encoding", pa.string()), ("bytes", pa.int64())]
        + [(name, pa.string()) for name in ("vendor", "reader", "source", "config_hash", "created")]
    )
