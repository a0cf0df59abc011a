"""STAMP: one HDF5 file per slide with coordinates in MICRONS, `clini.csv` and `slide.csv`.

Follows version 2.x. The distribution of that name on the package index is another program.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.bags.bag import Bag
from models.bags.csvfile import csv_text
from models.bags.hdf5 import array_of, opened, rows_of, take_rows, write_hdf5
from models.bags.sink import Sink
from models.bags.table import Cohort, ForeignBag, SlideFacts
from models.errors import BagError

DTYPES = ("float16", "float32")
CSV_IDS = True

FOLDER = "features"
VERSION = "2.1.0"
"""A version later than the reader's own is refused there; this is the oldest with these names."""
TILE_UM = 256.0
NEEDS_256_UM = frozenset({"conch1_5", "gigapath"})
"""Extractors whose slide encoders (TITAN, GigaPath) take 256 um for granted; others collapse."""

EXTRACTORS = {
    "ctranspath-swin-tiny": "ctranspath",
    "hf-hub:MahmoodLab/conch": "conch",
    "hf-hub:MahmoodLab/conchv1_5": "conch1_5",
    "hf-hub:MahmoodLab/uni": "uni",
    "hf-hub:MahmoodLab/UNI2-h": "uni2",
    "hf-hub:bioptimus/H-optimus-0": "h-optimus-0",
    "hf-hub:paige-ai/Virchow2": "virchow2",
    "hf-hub:prov-gigapath/prov-gigapath": "gigapath",
}
"""Our names of encoders that its slide encoders ask for by theirs."""

HASH_SUFFIX = re.compile(r"-(?=[0-9a-f]{6,}$)")


def write(bag: Bag, sink: Sink, dtype: np.dtype[Any]) -> None:
    """Write one feature file; nothing for n = 0, which it would read as a bag of zeros."""
    mpp0, effective = bag.require_mpp("STAMP")
    if not len(bag):
        return
    tile_um = bag.patch_px * (effective[0] + effective[1]) / 2
    name = extractor(bag)
    if name in NEEDS_256_UM and abs(tile_um - TILE_UM) > 1:
        sink.warn(f"tiles of {tile_um:g} um: the slide encoder for {name} assumes {TILE_UM:g} um")
    coords = (bag.coords * np.array(mpp0)).astype(np.float32)
    about = {
        "extractor": name,
        "unit": "um",
        "tile_size_um": tile_um,
        "tile_size_px": bag.patch_px,
        "feat_type": "tile",
        "stamp_version": VERSION,
        "code_hash": f"microtome-{bag.card.identity}",
    }
    with sink.file(f"{FOLDER}/{bag.name}.h5") as path:
        write_hdf5(path, {"feats": rows_of(bag, dtype), "coords": array_of(coords)}, about)


def finish(cohort: Cohort, sink: Sink) -> None:
    """Write `slide.csv`, one row per file, and `clini.csv`, one per patient with a label.

    Rows of a patient stand together: its reader loses slides of a patient that do not.
    """
    slides = sorted((s for s in cohort.slides if s.count), key=lambda s: (s.patient, s.name))
    rows = [(slide.patient, f"{slide.name}.h5") for slide in slides]
    sink.text("slide.csv", csv_text(("PATIENT", "FILENAME"), rows))
    sink.text("clini.csv", csv_text(("PATIENT", "label"), patient_labels(slides, sink)))


def patient_labels(slides: list[SlideFacts], sink: Sink) -> list[tuple[str, str]]:
    """Give patients and labels; one whose slides disagree is left out, with a warning."""
    labels: dict[str, set[str]] = {}
    for slide in slides:
        labels.setdefault(slide.patient, set()).update({slide.label} if slide.label else set())
    for patient, found in labels.items():
        if len(found) > 1:
            told = ", ".join(sorted(found))
            sink.warn(f"slides of patient {patient} have labels {told}: not in clini.csv")
    return [(patient, min(found)) for patient, found in labels.items() if len(found) == 1]


def read(folder: Path) -> Iterator[ForeignBag]:
    """Read every feature file below a folder.

    Raises:
        BagError: there is none, or one does not say its units.
    """
    files = sorted(folder.rglob("*.h5"))
    if not files:
        raise BagError(f"{folder} has no feature files (*.h5)")
    return map(_read_one, files)


def _read_one(path: Path) -> ForeignBag:
    with opened(path) as file:
        name = "feats" if "feats" in file else "patch_embeddings"
        feats, coords = file[name], file["coords"][:]
        shape, dtype, known = feats.shape, feats.dtype, dict(file.attrs)
    if not ("tile_size_um" in known or ("tile_size" in known and known.get("unit") == "um")):
        raise BagError(f"{path} does not say tile_size_um, so that its coordinates have no unit")
    if len(shape) != 2 or coords.shape != (shape[0], 2):
        raise BagError(f"{path}: {name} {shape} do not fit coords {coords.shape}")
    return ForeignBag(path.stem, coords, "um", shape[1], dtype, partial(take_rows, path, name))


def extractor(bag: Bag) -> str:
    """Name the encoder as STAMP would; what looks like its hash suffix would be cut off there."""
    known = EXTRACTORS.get(bag.card.name) if bag.card.layer == "last" else None
    return known or HASH_SUFFIX.sub("_", bag.encoder_id)
