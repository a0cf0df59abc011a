from pathlib import Path

import numpy as np
import pytest

from models.errors import EncoderError, NumericsError
from models.probe import read_cases, read_features
from tests.models.probe.planted import Planted, card, embed, plant
from tiling.embeddings import array_key
from tiling.store import Archive

LARGE = 9000


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Two slides; the first has more rows than one block."""
    folder = tmp_path_factory.mktemp("features") / "a.zarr"
    labels = np.arange(LARGE) % 2
    made = plant(folder, [Planted("a", labels.tolist()), Planted("b", [1, 0, -1, 1])])
    for slide_id, count in (("a", LARGE), ("b", 4)):
        rows = np.stack([np.full(count, ord(slide_id)), np.arange(count) % 2048], axis=1)
        embed(made, slide_id, "planted", rows.astype(np.float16))
    return made


def test_rows_are_those_of_their_patches(archive: Archive) -> None:
    cases = read_cases(archive)
    rows = np.array([0, 8191, 8192, 8999, 9000, 9002])
    features = read_features(archive, cases, "planted", rows)
    assert features.values.dtype == np.float32
    assert features.values[:, 0].tolist() == [97, 97, 97, 97, 98, 98]
    assert features.values[:, 1].tolist() == [0, 8191 % 2048, 0, 8999 % 2048, 0, 3]
    assert features.card == card("planted", 2)
    assert features.of(np.array([9002, 0]))[:, 1].tolist() == [3, 0]


def test_an_unknown_encoder_is_told_with_those_that_there_are(archive: Archive) -> None:
    with pytest.raises(EncoderError, match="no embeddings of 'resnet50'; there are: planted; "):
        read_features(archive, read_cases(archive), "resnet50", np.array([0]))


def test_embeddings_of_two_encoders_under_one_name_are_refused(tmp_path: Path) -> None:
    made = plant(tmp_path / "a.zarr", [Planted("a", [0, 1]), Planted("b", [0, 1])])
    embed(made, "a", "e", np.ones((2, 3), np.float32))
    embed(made, "b", "e", np.ones((2, 3), np.float32), weights="other", weights_sha256="1" * 64)
    with pytest.raises(EncoderError, match=r"different encoders \(weights random:0 and other\)"):
        read_features(made, read_cases(made), "e", np.arange(4))


def test_values_must_be_finite(tmp_path: Path) -> None:
    made = plant(tmp_path / "a.zarr", [Planted("a", [0, 1])])
    embed(made, "a", "e", np.array([[1.0, np.nan], [0, 1]], np.float32))
    with pytest.raises(NumericsError, match="1 embeddings of e are NaN or infinite"):
        read_features(made, read_cases(made), "e", np.arange(2))


def test_embeddings_without_a_card_are_refused(tmp_path: Path) -> None:
    made = plant(tmp_path / "a.zarr", [Planted("a", [0, 1])])
    embed(made, "a", "e", np.ones((2, 3), np.float32))
    path = Path(made.location, array_key("a", "e"), "zarr.json")
    path.write_text(path.read_text().replace('"card"', '"other"'))
    with pytest.raises(EncoderError, match="e have no readable card"):
        read_features(made, read_cases(made), "e", np.arange(2))
