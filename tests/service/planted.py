"""A work folder with all that the service shows, made in seconds and the same every time.

    python -m tests.service.planted FOLDER

`demo.zarr` holds the bundled slide with embeddings of two encoders, the tissue map `tissue` and the
map `attention-demo`. All of it is a plain function of the pixels, so that it looks right over them.
"""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.bags.bag import Bag
from models.encoders.card import EncoderCard
from models.mil.maps import store_attention
from tiling.embeddings import EmbeddingPlan, array_key, commit, put_shard
from tiling.mapplan import MapPlan
from tiling.mapwriter import MapWriter
from tiling.reader import PatchReader
from tiling.stitching import Layout
from tiling.store import Archive, PatchStore
from tiling.tissuemap import Legend
from tiling.windows import MapFrame, WindowGrid
from workflows.mil.attention import map_name
from workflows.tile import TileConfig
from workflows.tile import run as tile
from wsi import Point, Region, open_slide
from wsi.area import block_mean
from wsi.geometry import Mpp

Floats = npt.NDArray[np.floating]

SLIDE = Path(__file__).parent.parent / "data" / "CMU-1-Small-Region.svs"
SLIDE_ID = SLIDE.stem
ARCHIVE = "demo.zarr"
MAP, ATTENTION = "tissue", map_name("demo")
ENCODERS = {"colour-layout": (384, "f4"), "colour-histogram": (64, "f2")}
"""Length and type of the embeddings of each."""

PATCH_PX = 240
STEP = 4
"""Level-0 pixels per pixel of the tissue map."""
WINDOW_PX = 256

LEGEND = Legend(
    ("Epidermis", "Dermis", "Keratin", "Loose tissue"),
    ((94, 60, 153), (230, 97, 1), (178, 24, 43), (146, 197, 222)),
)
CENTRES = ((122, 85, 138), (188, 128, 160), (85, 42, 75), (214, 196, 208))
"""A typical colour of each class."""
SHARPNESS = 12.0
"""Difference of colours at which one class is e times as probable as another."""
GLASS = 222.0
"""Brighter than this is no tissue."""


def plant(folder: Path) -> None:
    """Make everything in `folder`, which need not exist."""
    cut(SLIDE, folder / ARCHIVE)
    store = Archive.open(str(folder / ARCHIVE))[SLIDE_ID]
    for name in ENCODERS:
        plant_embeddings(store, name)
    plant_map(store)
    plant_attention(store)


def cut(slide: Path, archive: Path) -> None:
    """Cut a slide as `microtome tile` does; one small one needs no cluster."""
    config = TileConfig(
        slides=(str(slide),), out=str(archive), mpp="native", patch_size=PATCH_PX, pictures=0
    )
    tile(config, lambda _: None)


def plant_embeddings(store: PatchStore, name: str) -> None:
    """Store embeddings in which patches of like colours are near each other."""
    dim, dtype = ENCODERS[name]
    patches = PatchReader(store).read(range(len(store)))
    rows = features(patches, dim, layout="layout" in name)
    put_embeddings(store, card(name, dim), rows.astype(dtype))


def put_embeddings(store: PatchStore, known: EncoderCard, rows: Floats) -> None:
    """Store any rows as the embeddings of an encoder."""
    plan = EmbeddingPlan(len(rows), rows.shape[1], rows.dtype.str[1:])
    key = array_key(store.slide_id, known.encoder_id)
    checksums: dict[str, list[int]] = {}
    for number in range(plan.shards):
        part = rows[plan.rows(number).start : plan.rows(number).stop]
        checksums |= put_shard(store.storage, key, plan, number, part)
    attributes = {"card": known.document(), "versions": known.versions, "checksums": checksums}
    commit(store.storage, key, plan, attributes)


def features(patches: npt.NDArray[np.uint8], dim: int, *, layout: bool) -> Floats:
    """Project the mean colours of parts, or the histogram of colours, to `(n, dim)`."""
    count, side = patches.shape[:2]
    if layout:
        parts = patches.reshape(count, 6, side // 6, 6, side // 6, 3).mean(axis=(2, 4))
        plain = parts.reshape(count, -1) / 255
    else:
        shades = (patches // 64).reshape(count, -1, 3) @ np.array([16, 4, 1])
        plain = np.stack([np.bincount(shade, minlength=64) for shade in shades])
        plain = np.sqrt(plain / plain.sum(axis=1, keepdims=True))
    rng = np.random.default_rng(7)
    return (plain - plain.mean(axis=0)) @ rng.standard_normal((plain.shape[1], dim))


def card(name: str, dim: int) -> EncoderCard:
    """Describe an encoder that never was."""
    return EncoderCard(
        name=name,
        method="random",
        architecture="timm:resnet18",
        weights="random:7",
        weights_sha256="7" * 64,
        input_px=PATCH_PX,
        mpp=0.499,
        dim=dim,
        layer="last",
        versions={"microtome": "0.1.0"},
    )


def plant_map(
    store: PatchStore, name: str = MAP, pixels: npt.NDArray[np.uint8] | None = None
) -> None:
    """Store a tissue map: how near every pixel's colour is to a typical one of each class."""
    found = shrunken() if pixels is None else pixels
    height, width = found.shape[:2]
    mpp = store.attributes["mpp"]
    grid = WindowGrid(height, width, WINDOW_PX, 0)
    frame = MapFrame(height, width, 0.0, 0.0, STEP, STEP, Mpp(mpp["x"] * STEP, mpp["y"] * STEP))
    model = {"kind": "planted", "source": store.slide_id}
    plan = MapPlan(LEGEND, frame, Layout(grid, len(LEGEND.names)), model)
    writer, shares = MapWriter(store, name, plan), class_shares(found)
    for window in writer.todo:
        x, y = grid.corners(np.array([window]))[0]
        whole = np.zeros((len(LEGEND.names), WINDOW_PX, WINDOW_PX), np.float32)
        part = shares[:, y : y + WINDOW_PX, x : x + WINDOW_PX]
        whole[:, : part.shape[1], : part.shape[2]] = part
        writer.add(window, whole)
    writer.finish()


def shrunken() -> npt.NDArray[np.uint8]:
    """Pixels of the bundled slide, `STEP` times smaller; what fills no whole pixel is left out."""
    with open_slide(str(SLIDE)) as slide:
        pixels = slide.read_region(Region(Point(0, 0), 0, slide.size))
    height, width = (length // STEP * STEP for length in pixels.shape[:2])
    return block_mean(np.ascontiguousarray(pixels[:height, :width]), (STEP, STEP))


def class_shares(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Probabilities `(C, h, w)`; all 0 on glass."""
    from scipy.ndimage import uniform_filter

    smooth = uniform_filter(pixels.astype(np.float32), (9, 9, 0))
    away = np.stack([np.abs(smooth - centre).mean(axis=2) for centre in np.array(CENTRES)])
    shares = np.exp(-away / SHARPNESS)
    shares /= shares.sum(axis=0)
    shares[:, smooth.min(axis=2) > GLASS] = 0
    return shares.astype(np.float32)


def plant_attention(store: PatchStore, name: str = ATTENTION) -> None:
    """Store attention as `microtome mil predict --maps` does: the darker a patch, the more."""
    bag = Bag(store, next(iter(ENCODERS)))
    patches = PatchReader(store).read(bag.rows)
    dark = (255 - patches.mean(axis=(1, 2, 3))) / 25
    shares = np.exp(dark - dark.max())
    attention = (shares / shares.sum()).astype(np.float32)[None]
    model = {"run": "demo", "identity": "demo", "name": "abmil", "classes": ["benign", "tumour"]}
    store_attention(bag, name, attention, ("attention",), model)


if __name__ == "__main__":
    plant(Path(sys.argv[1]))
