"""Both stages in the real training loop, on two tissues that a small network tells apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.augment import open_preset
from models.data import PatchDataset
from models.data.loading import Readable
from models.segmentation.classifier import Classification, Classifier
from models.segmentation.metrics import confusion, score
from models.segmentation.patches import MaskedPatches
from models.segmentation.settings import CLASSIFY, SEGMENT
from models.segmentation.stage2 import SUPERVISED, Segmentation
from models.segmentation.storing import write_masks
from models.training.feed import Feed, Sampling, Share
from models.training.loop import Habits, Line, Loop
from models.training.method import Learner
from models.training.settings import TrainSettings
from tests.models.segmentation.conftest import NAMES, PX
from tests.models.segmentation.tiny import TinySegmenter, TinyTrunk
from tests.models.training.test_feed import CPU
from tests.models.training.test_loop import after, fabric, never, weights
from tiling.store import Archive


def _loop(
    data: Readable,
    folder: Path,
    learner: Learner,
    settings: TrainSettings,
    preset: str,
    lines: list[Line],
) -> Loop:
    views = open_preset(preset, side_px=PX, mean=(0.0,) * 3, std=(1.0,) * 3, d4=False)
    sampling = Sampling(np.arange(11), np.zeros(11, np.int64), settings.batch, seed=1)
    feed = Feed(data, sampling, views, Share(0, 1, settings.accumulate), CPU)
    habits = Habits(folder, "me", seed=2, log_steps=1, stop_on_collapse=False)
    return Loop(fabric(), learner.train(), feed, settings, habits, tell=lines.append)


def _classification() -> Classification:
    return Classification(Classifier(TinyTrunk(), len(NAMES), seed=1))


def test_a_stopped_classifier_goes_on_to_the_same_weights(archive: Archive, tmp_path: Path) -> None:
    data = PatchDataset(archive.location)
    settings = replace(CLASSIFY, epochs=5, batch=4, accumulate=2)
    straight, lines = _classification(), list[Line]()
    assert _loop(data, tmp_path / "a", straight, settings, "wsss-cls", lines).run(never)
    first, second = _classification(), _classification()
    stopped = _loop(data, tmp_path / "b", first, settings, "wsss-cls", [])
    assert not stopped.run(after(7))
    rest = _loop(data, tmp_path / "b", second, settings, "wsss-cls", [])
    assert rest.step == 7
    assert rest.run(never)
    ours, theirs = weights(straight), weights(second)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    steps = [line for line in lines if line["kind"] == "step"]
    assert set(steps[0]["metrics"]) == {"exact", "jaccard"}
    assert [line["lr"] for line in steps] == pytest.approx(
        [0.01 * (1 - step / 10) ** 0.9 for step in range(10)]
    )


def test_a_segmenter_learns_two_tissues_from_true_masks(archive: Archive, tmp_path: Path) -> None:
    patches = PatchDataset(archive.location)
    truth = {"s0": np.zeros((6, PX, PX), np.uint8), "s1": np.ones((5, PX, PX), np.uint8)}
    for store in archive.stores():
        truth[store.slide_id][:, :2] = 2  # background
        write_masks(store, "true", truth[store.slide_id], side_px=PX)
    data = MaskedPatches(patches, archive.location, ["true"])
    method, lines = Segmentation(TinySegmenter(2), 2, SUPERVISED), list[Line]()
    settings = replace(SEGMENT, optimizer="adam", epochs=40, batch=10, base_lr=0.01)
    assert _loop(data, tmp_path / "a", method, settings, "wsss-seg", lines).run(never)
    losses = [line["loss"] for line in lines if line["kind"] == "step"]
    assert losses[-1] < 0.5 * losses[0]
    batch = data.__getitems__(range(11))
    method.eval()
    with torch.no_grad():
        logits = method.network(batch.pixels.permute(0, 3, 1, 2) / 255)
    found = score(confusion(batch.masks[:, 0].numpy(), logits.argmax(dim=1).numpy(), 2))
    assert found.miou is not None
    assert found.miou > 0.9
