"""slide2vec: tensors in `tile_embeddings/`, hs2p's coordinates in `tiles/`, sidecars written last.

Rows are sorted by x, then y: the permutation is kept in `microtome.json`. Follows slide2vec 7.1
and hs2p 6.1. Paths inside are relative to the export folder, which may be moved.
"""

import base64
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bags.bag import Bag
from models.bags.csvfile import csv_text
from models.bags.hs2p import backend, source_path, tiling, tiling_document
from models.bags.reorder import reordered
from models.bags.sink import Sink
from models.bags.table import STORED, Cohort, ForeignBag, SlideFacts
from models.bags.tensorfile import open_tensor, take_tensor_rows, write_tensor
from models.errors import BagError

DTYPES = (STORED, "float32", "float16")
CSV_IDS = True

SHORT = {"float16": "fp16", "float32": "fp32"}
PROCESS_COLUMNS = (
    "sample_id",
    "annotation",
    "output_mode",
    "image_path",
    "mask_path",
    "requested_backend",
    "backend",
    "requested_mask_backend",
    "mask_backend",
    "spacing_at_level_0",
    "tiling_status",
    "num_tiles",
    "coordinates_npz_path",
    "coordinates_meta_path",
    "tiles_tar_path",
    "mask_preview_path",
    "tiling_preview_path",
    "error",
    "traceback",
    "feature_status",
    "feature_path",
    "encoder_name",
)


def write(bag: Bag, sink: Sink, dtype: np.dtype[Any]) -> None:
    """Write coordinates, then features, each with its sidecar; sidecars alone for n = 0."""
    order = column_order(bag.coords)
    if len(order) < len(bag):
        sink.warn(f"{len(bag) - len(order)} patches at the same place as another are left out")
    places = {
        "meta": f"tiles/{bag.name}.coordinates.meta.json",
        "npz": f"tiles/{bag.name}.coordinates.npz" if len(order) else "",
    }
    if len(order):
        _write_coordinates(bag, order, sink, places["npz"])
    sink.text(places["meta"], _json(tiling_document(bag, len(order))))
    if len(order):
        _write_features(bag, order, sink, dtype)
    sidecar = _sidecar(bag, len(order), dtype, places)
    sink.text(f"tile_embeddings/{bag.name}.meta.json", _json(sidecar))
    sink.notes.update(
        {
            "permutation": pack(order),
            "num_tiles": len(order),
            "backend": backend(bag),
            "spacing_at_level_0": sidecar["spacing_at_level_0"],
        }
    )


def finish(cohort: Cohort, sink: Sink) -> None:
    """Write `process_list.csv` and what is known of the settings as `config.yaml`."""
    rows = [_process_row(slide, cohort) for slide in cohort.slides]
    sink.text("process_list.csv", csv_text(PROCESS_COLUMNS, rows))
    settings = {
        "model": {"name": cohort.encoder_id, "level": "tile"},
        "embedding": {"output_format": "pt", "output_dtype": SHORT[cohort.dtype]},
        "tiling": {"requested_tile_size_px": sorted({s.patch_px for s in cohort.slides})},
    }
    sink.text("config.yaml", _json(settings))  # JSON is YAML


def read(folder: Path) -> Iterator[ForeignBag]:
    """Read every slide whose features and coordinates both have their sidecar.

    Raises:
        BagError: there is none, or coordinates do not fit features.
    """
    files = sorted((folder / "tile_embeddings").glob("*.meta.json"))
    if not files:
        raise BagError(f"{folder} has no tile_embeddings/<slide>.meta.json: nothing is finished")
    found = (_read_one(folder, path.name.removesuffix(".meta.json")) for path in files)
    return (bag for bag in found if bag is not None)


def column_order(coords: NDArray[np.int32]) -> NDArray[np.int64]:
    """Indices that sort corners by x, then y; of equal corners the first is kept."""
    _, first = np.unique(coords, axis=0, return_index=True)  # sorts rows by x, then y
    return np.asarray(first, np.int64)


def pack(order: NDArray[np.int64]) -> str:
    """Give a permutation as text: base64 of zlib of little-endian int32."""
    return base64.b64encode(zlib.compress(order.astype("<i4").tobytes(), 6)).decode("ascii")


def unpack(text: str) -> NDArray[np.int32]:
    """Undo `pack`."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i4")


def _write_coordinates(bag: Bag, order: NDArray[np.int64], sink: Sink, name: str) -> None:
    x, y = bag.coords[order].astype(np.int64).T
    with sink.file(name) as path, path.open("wb") as file:
        np.savez_compressed(
            file,
            tile_index=np.arange(len(order), dtype=np.int32),
            x=np.ascontiguousarray(x),
            y=np.ascontiguousarray(y),
            tissue_fractions=bag.tissue_fraction[order],
        )


def _write_features(bag: Bag, order: NDArray[np.int64], sink: Sink, dtype: np.dtype[Any]) -> None:
    name = f"tile_embeddings/{bag.name}.pt"
    with sink.scratch(name) as scratch, sink.stream(name) as file:
        sorted_already = np.array_equal(order, np.arange(len(bag)))
        blocks = (
            bag.blocks(dtype=dtype) if sorted_already else reordered(bag, order, dtype, scratch)
        )
        write_tensor(file, blocks, (len(order), bag.dim), dtype)


def _sidecar(bag: Bag, count: int, dtype: np.dtype[Any], places: dict[str, str]) -> dict[str, Any]:
    known = tiling(bag)
    geometry = ("read_tile_size_px", "requested_tile_size_px", "requested_spacing_um")
    mpp0, _ = bag.require_mpp("slide2vec")
    return {
        "annotation": None,
        "artifact_type": "tile_embeddings",
        "backend": backend(bag),
        "compatibility": {},
        "coordinates_meta_path": places["meta"],
        "coordinates_npz_path": places["npz"],
        "encoder_input_size_px": bag.card.input_px,
        "encoder_level": "tile",
        "encoder_name": bag.encoder_id,
        "feature_dim": bag.dim if count else None,
        "feature_dtype": SHORT[dtype.name],
        "format": "pt",
        "image_path": source_path(bag),
        "mask_path": None,
        "num_tiles": count,
        "sample_id": bag.name,
        "spacing_at_level_0": sum(mpp0) / 2,
        "tile_size_lv0": known["tile_size_lv0"],
        "tiles_tar_path": "",
    } | {key: known[key] for key in geometry}


def _process_row(slide: SlideFacts, cohort: Cohort) -> list[Any]:
    count, stem = slide.notes["num_tiles"], slide.name
    known = {
        "sample_id": stem,
        "annotation": "tissue",
        "image_path": slide.source or stem,
        "requested_backend": slide.notes["backend"],
        "backend": slide.notes["backend"],
        "spacing_at_level_0": slide.notes["spacing_at_level_0"],
        "tiling_status": "success",
        "num_tiles": count,
        "coordinates_npz_path": f"tiles/{stem}.coordinates.npz" if count else None,
        "coordinates_meta_path": f"tiles/{stem}.coordinates.meta.json",
        "feature_status": "success",
        "feature_path": f"tile_embeddings/{stem}.pt" if count else None,
        "encoder_name": cohort.encoder_id,
    }
    return [known.get(column) for column in PROCESS_COLUMNS]


def _read_one(folder: Path, name: str) -> ForeignBag | None:
    sidecar = folder / "tiles" / f"{name}.coordinates.meta.json"
    try:
        count = json.loads(sidecar.read_text(encoding="utf-8"))["tiling"]["n_tiles"]
        if not count:
            return None
        with np.load(folder / "tiles" / f"{name}.coordinates.npz", allow_pickle=False) as file:
            index, positions = file["tile_index"], np.stack([file["x"], file["y"]], axis=1)
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise BagError(f"{sidecar} or its npz is missing or damaged: {err}") from err
    tensor = open_tensor(folder / "tile_embeddings" / f"{name}.pt")
    if not (len(tensor) == len(positions) == count) or (index != np.arange(count)).any():
        raise BagError(f"{name}: {len(tensor)} rows do not fit {count} tiles, numbered from 0")
    dtype = tensor[:0].numpy().dtype
    take = take_tensor_rows(tensor)
    return ForeignBag(name, positions, "corner", tensor.shape[1], dtype, take)


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, sort_keys=True) + "\n"
