"""A linear probe as bytes: what was learned comes back, and nothing else is taken for one."""

import json

import numpy as np
import pytest
from safetensors.numpy import load, save
from scipy.special import softmax

from models.errors import MismatchError, WeightsError
from models.probe import (
    LinearProbe,
    LinearSettings,
    ProbeCard,
    fit_linear,
    pack_probe,
    unpack_probe,
)
from tests.models.probe.planted import card

DIM = 5
NAMES = ("benign", "tumour", "necrosis")


def _probe(seed: int = 0) -> LinearProbe:
    rng = np.random.default_rng(seed)
    shapes = ((3, DIM), (3,), (DIM,))
    weight, bias, mean = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    return LinearProbe(weight, bias, mean, np.full(DIM, 2, np.float32))


def _card(**changes: object) -> ProbeCard:
    known = {"encoder_id": "e", "encoder": card("e", DIM), "classes": NAMES, "mpp": 0.5}
    return ProbeCard(**(known | changes))


def test_scores_are_the_softmax_of_a_standardised_linear_map() -> None:
    probe, rows = _probe(), np.random.default_rng(1).normal(size=(7, DIM))
    expected = softmax((rows - probe.mean) / 2 @ probe.weight.T + probe.bias, axis=1)
    assert probe.scores(rows.astype(np.float16)) == pytest.approx(expected, abs=5e-3)
    assert probe.scores(rows) == pytest.approx(expected, abs=1e-5)
    assert np.isfinite(probe.scores(1e4 * rows)).all()


@pytest.mark.parametrize("standardise", [False, True])
def test_what_was_fitted_is_what_is_read(standardise: bool) -> None:
    rng = np.random.default_rng(2)
    train, test = rng.normal(3, 4, (60, DIM)), rng.normal(3, 4, (9, DIM))
    settings = LinearSettings(epochs=5, rate=1.0, standardise=standardise)
    fit = fit_linear(train, rng.integers(0, 3, 60), test, 3, seed=0, settings=settings)
    probe, found = unpack_probe(pack_probe(fit.probe, _card()), "p.safetensors")
    assert probe.scores(test) == pytest.approx(fit.scores, abs=1e-5)
    assert np.array_equal(probe.mean, np.zeros(DIM)) != standardise
    assert found.model_copy(update={"weights_sha256": ""}) == _card()


def test_every_changed_byte_is_noticed() -> None:
    data = pack_probe(_probe(), _card())
    assert data == pack_probe(_probe(), _card())
    header = 8 + int.from_bytes(data[:8], "little")
    for at in range(header, len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1
        with pytest.raises(WeightsError, match="its arrays are not those of its card"):
            unpack_probe(bytes(damaged), "p.safetensors")
    for cut in (0, 7, header - 1, len(data) - 1):
        with pytest.raises(WeightsError, match=r"p\.safetensors is damaged or cut short"):
            unpack_probe(data[:cut], "p.safetensors")


def test_other_files_are_no_probes() -> None:
    with pytest.raises(WeightsError, match="has no card of a linear probe"):
        unpack_probe(save(_probe().arrays), "other.safetensors")
    with pytest.raises(WeightsError, match="has a card of another version"):
        unpack_probe(save(_probe().arrays, {"microtome_probe": "{}"}), "other.safetensors")
    packed = pack_probe(_probe(), _card(classes=("one", "two")))
    with pytest.raises(WeightsError, match="does not hold the arrays that its card tells of"):
        unpack_probe(packed, "p.safetensors")


def test_a_probe_that_broke_is_not_written() -> None:
    broken = LinearProbe(**(_probe().arrays | {"bias": np.full(3, np.nan, np.float32)}))
    with pytest.raises(WeightsError, match="NaN or infinite"):
        pack_probe(broken, _card())


def test_the_file_is_plain_safetensors() -> None:
    data = pack_probe(_probe(), _card())
    assert set(load(data)) == {"weight", "bias", "mean", "scale"}
    length = int.from_bytes(data[:8], "little")
    known = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["microtome_probe"])
    assert known["classes"] == list(NAMES)


def test_embeddings_of_another_encoder_or_resolution_are_refused() -> None:
    probe = _card()
    assert probe.require_match(card("e", DIM, data=("more",)), 0.51, force=False) == []
    assert probe.require_match(card("e", DIM), None, force=False) == []
    assert _card(mpp=None).require_match(card("e", DIM), 2.0, force=False) == []
    with pytest.raises(MismatchError, match=r"embeddings were made by e \(layer mean"):
        probe.require_match(card("e", DIM, layer="mean"), 0.5, force=True)
    with pytest.raises(MismatchError, match=r"the patches have 1 um/px, the probe learned at 0\.5"):
        probe.require_match(card("e", DIM), 1.0, force=False)
    told = ["the patches have 1 um/px, the probe learned at 0.5"]
    assert probe.require_match(card("e", DIM), 1.0, force=True) == told
