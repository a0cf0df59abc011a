"""A map of patches in several windows, and what is recorded of it."""

from pathlib import Path

import numpy as np
import pytest

from models.bags.bag import Bag
from models.errors import MismatchError, NumericsError
from models.probe import LinearProbe, ProbeCard
from models.probe import classmap as module
from models.probe.classmap import plan_classmap, write_classmap
from tests.models.mil.cohorts import ENCODER, Planted, card, embed, write_slide
from tiling.maps import map_names
from tiling.mapwriter import MapWriter
from tiling.tissuemap import NO_CLASS, Legend, TissueMap

LEGEND = Legend(("benign", "tumour", "necrosis"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))
PROBE_CARD = ProbeCard(encoder_id=ENCODER, encoder=card(5), classes=LEGEND.names)


def _probe() -> LinearProbe:
    rng = np.random.default_rng(3)
    weight, bias = rng.normal(size=(3, 5)), rng.normal(size=3)
    arrays = (weight, bias, np.full(5, 0.5), np.full(5, 2.0))
    return LinearProbe(*(values.astype(np.float32) for values in arrays))


def _bag(folder: Path, count: int = 30, columns: int = 8, bad: int | None = None) -> Bag:
    rows = np.random.default_rng(0).normal(size=(count, 5)).astype(np.float32)
    if bad is not None:
        rows[bad, 2] = np.inf
    return Bag(write_slide(folder / "a.zarr", Planted("s", rows), columns), ENCODER)


@pytest.mark.parametrize("tile_px", [3, 8, 512])
def test_every_pixel_is_its_patch_however_the_map_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile_px: int
) -> None:
    monkeypatch.setattr(module, "TILE_PX", tile_px)
    bag, probe = _bag(tmp_path), _probe()
    planned = plan_classmap(bag, LEGEND, PROBE_CARD)
    asked: list[bool] = []
    writer = MapWriter(bag.store, "m", planned.map)
    write_classmap(planned, probe, writer, lambda: asked.append(map_names(bag.store) == []))
    assert asked == [True]  # right before the commit
    found = TissueMap(bag.store, "m")
    scores = probe.scores(bag.read())
    probabilities = np.zeros((3, 32), np.float32)
    probabilities[:, :30] = scores.T
    stored = found.read("probabilities").reshape(3, 32) / 255
    assert stored == pytest.approx(probabilities, abs=0.51 / 255)
    classes = np.append(scores.argmax(axis=1), [NO_CLASS, NO_CLASS])
    assert found.read("classes").ravel().tolist() == classes.tolist()
    shares = np.maximum(scores, 1e-12)
    entropy = -(shares * np.log(shares)).sum(axis=1) / np.log(3)
    assert found.read("entropy").ravel()[:30] / 255 == pytest.approx(entropy, abs=0.6 / 255)
    known = found.attributes["model"]
    assert known["probe"]["classes"] == list(LEGEND.names)
    assert known["encoder_identity"] == bag.card.identity


def test_another_probe_or_other_embeddings_are_another_map(tmp_path: Path) -> None:
    first = plan_classmap(_bag(tmp_path), LEGEND, PROBE_CARD).map.attributes["identity"]
    again = plan_classmap(_bag(tmp_path / "b"), LEGEND, PROBE_CARD).map.attributes["identity"]
    other_card = PROBE_CARD.model_copy(update={"weights_sha256": "f"})
    other = plan_classmap(_bag(tmp_path / "c"), LEGEND, other_card).map.attributes["identity"]
    bag = _bag(tmp_path / "d")
    embed(bag.store, bag.read().astype(np.float16))
    changed = plan_classmap(Bag(bag.store, ENCODER), LEGEND, PROBE_CARD).map.attributes["identity"]
    assert first == again
    assert len({first, other, changed}) == 3


def test_what_is_no_embedding_of_the_probes_kind_is_refused(tmp_path: Path) -> None:
    bag = _bag(tmp_path, bad=17)
    planned = plan_classmap(bag, LEGEND, PROBE_CARD)
    writer = MapWriter(bag.store, "m", planned.map)
    with pytest.raises(NumericsError, match="the embedding of patch 17 of s is NaN or infinite"):
        write_classmap(planned, _probe(), writer)
    assert map_names(bag.store) == []
    foreign = PROBE_CARD.model_copy(update={"encoder": card(5, layer="mean")})
    with pytest.raises(MismatchError, match="the embeddings were made by toy"):
        plan_classmap(bag, LEGEND, foreign, force=True)
