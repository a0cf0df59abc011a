"""Methods on real, labelled tissue: do they learn, and whom does SRCL take for a neighbour?"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models.augment import open_preset
from models.data import Batch, PatchDataset, iterate_batches
from models.encoders import Encoder, open_encoder
from models.losses.precision import unit_rows
from models.probe import knn_scores
from models.ssl.keys import Keys, Queries, Rows
from models.ssl.selection import select
from models.ssl.table import METHODS
from models.training.feed import Feed, Sampling, Share
from models.training.loop import Habits, Loop
from tests.models.data.conftest import import_set
from tests.models.probe.planted import card

SIDE, BATCH = 32, 64
CPU = torch.device("cpu")


class Small:
    """EBHI-SEG's training and validation patches, reduced to 64 px and held in memory."""

    def __init__(self, archive: Path) -> None:
        data = PatchDataset(str(archive))
        split = np.array([slide.split for slide in data.slides])[data.slide_of]
        train, judged = (np.flatnonzero(split == name) for name in ("train", "val"))
        rows = np.concatenate([train, judged])
        batch = data.__getitems__(rows)
        images = interpolate(batch.pixels.permute(0, 3, 1, 2).float(), (64, 64), mode="area")
        pixels = images.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        index = torch.arange(len(rows))
        self._all = replace(batch, pixels=pixels, index=index)
        self.train, self.judged = index[: len(train)].numpy(), index[len(train) :].numpy()
        self.slides: NDArray[np.int64] = batch.slide.numpy()
        assert batch.labels is not None
        self.labels: NDArray[np.int64] = batch.labels.numpy()

    def __getitems__(self, indices: Any) -> Batch:
        rows = torch.as_tensor(np.asarray(indices))
        known = self._all
        labels = None if known.labels is None else known.labels[rows]
        return Batch(known.pixels[rows], known.slide[rows], known.coords[rows], labels, None, rows)


@pytest.fixture(scope="module")
def tissue(slides_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Small:
    table = slides_folder.parent / "ebhi-seg" / "labels.csv"
    if not table.exists():
        pytest.skip("EBHI-SEG is not beside the further real slides")
    out = tmp_path_factory.mktemp("ebhi") / "ebhi.zarr"
    import_set(table, out)
    return Small(out)


def small_encoder(seed: int) -> Encoder:
    """Three strided convolutions; random ones already see colours and edges."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for before, after in ((3, 32), (32, 64), (64, 128)):
            layers += [
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Encoder(network, _tap, card("small", 128, input_px=SIDE))


def _tap(network: Any, images: Tensor) -> Tensor:
    found: Tensor = network(images)
    return found


def specimen_accuracy(tissue: Small, encoder: Encoder) -> float:
    """Give how often the nearest other patch by cosine is of the same patient."""
    patients = np.unique(tissue.slides[tissue.train], return_inverse=True)[1]
    with torch.inference_mode():
        batches = iterate_batches(tissue, tissue.train, batch_size=128)
        found = [encoder(encoder.prepare(batch.pixels)) for batch in batches]
    rows = torch.cat(found)
    shown, asked = slice(0, None, 2), slice(1, None, 2)
    votes = knn_scores(rows[shown], patients[shown], rows[asked], patients.max() + 1, k=1)
    return float(np.mean(votes.argmax(axis=1) == patients[asked]))


def gain(tissue: Small, folder: Path, name: str, seed: int) -> float:
    """Train for a small budget; gives by how much the nearest neighbours became better."""
    recipe, encoder = METHODS[name], small_encoder(seed)
    before = specimen_accuracy(tissue, encoder.eval())
    heads = replace(recipe.method, hidden=256, temperature=0.2)
    method = recipe.make(encoder, heads, classes=0, seed=seed)
    settings = replace(
        recipe.training,
        epochs=8,
        batch=BATCH,
        optimizer="adamw",
        base_lr=3e-3,
        scale_lr=False,
        weight_decay=1e-4,
        warmup_epochs=1,
    )
    look = encoder.card
    preset = open_preset(
        recipe.preset, side_px=SIDE, mean=look.mean, std=look.std, d4=True, crop_min=0.2
    )
    sampling = Sampling(tissue.train, tissue.slides[tissue.train], BATCH, seed=seed)
    feed = Feed(tissue, sampling, preset, Share(0, 1, 1), CPU)
    fabric = Fabric(accelerator="cpu", devices=1)
    habits = Habits(folder, "me", seed=seed, log_steps=100)
    loop = Loop(fabric, method.train(), feed, settings, habits, tell=lambda _: None)
    assert loop.run(lambda: False)
    return specimen_accuracy(tissue, method.eval().encoder) - before


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["simclr", "mocov3"])
def test_a_small_budget_finds_the_same_specimen_better_than_the_random_encoder(
    tissue: Small, tmp_path: Path, name: str
) -> None:
    # of the diagnosis so few steps learn nothing: see docs/label-efficiency.md
    gains = [gain(tissue, tmp_path / str(seed), name, seed) for seed in range(3)]
    assert min(gains) > 0.05, gains


@pytest.mark.parametrize("pool", ["any", "other_slides"])
def test_neighbours_are_of_the_same_tissue_more_often_than_chance(tissue: Small, pool: Any) -> None:
    encoder = open_encoder("resnet18", "random:0", input_px=64).eval()
    rng = np.random.default_rng(0)
    hits, chances = [], []
    for _ in range(4):
        rows = np.sort(rng.permutation(tissue.train)[:96])
        with torch.inference_mode():
            batch = tissue.__getitems__(rows)
            views = [encoder.prepare(batch.pixels), encoder.prepare(batch.pixels).flip(3)]
            first, second = (unit_rows(encoder(view)) for view in views)
        queries = Queries(Rows(first, batch.slide, batch.index), torch.arange(96))
        keys = Keys(Rows(second, batch.slide, batch.index), 96)
        chosen = select(queries, keys, 5, pool=pool).chosen.numpy()
        label, slide = tissue.labels[rows], tissue.slides[rows]
        for i in range(96):
            pool_of = [j for j in range(96) if j != i and (pool == "any" or slide[j] != slide[i])]
            hits.append(np.mean(label[chosen[i]] == label[i]))
            chances.append(np.mean(label[pool_of] == label[i]))
    assert np.mean(hits) > np.mean(chances) + 0.05, (np.mean(hits), np.mean(chances))
