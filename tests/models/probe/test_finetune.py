import numpy as np
import pytest
import torch
from torch import nn

from models.encoders import Encoder
from models.errors import NumericsError
from models.probe import Cases, FinetuneSettings, choose_split, finetune, read_cases
from models.probe.finetune import flip, hold_out
from models.probe.pixels import archive_pixels
from tests.models.probe.planted import PX, card, cohort, plant
from tiling.reader import PatchReader
from tiling.store import Archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    slides = [*cohort(10, 6, "train"), *cohort(6, 4, "test", 20)]
    return plant(tmp_path_factory.mktemp("tune") / "a.zarr", slides)


@pytest.fixture(scope="module")
def cases(archive: Archive) -> Cases:
    return read_cases(archive)


def _encoder(seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.1))
    encoder = Encoder(network, lambda net, images: net(images), card("tiny", 4))
    return encoder.eval()


SETTINGS = FinetuneSettings(epochs=12, batch=16, rate=0.02)


def test_a_planted_signal_is_learned_and_kept(archive: Archive, cases: Cases) -> None:
    split, pixels = choose_split(cases), archive_pixels(archive, cases)
    told: list[dict] = []
    encoder = _encoder()
    before = {name: t.clone() for name, t in encoder.state_dict().items()}
    tuned = finetune(
        encoder, cases, split.train, pixels, seed=0, settings=SETTINGS, on_epoch=told.append
    )
    scores = tuned.scores(pixels, split.test, batch=5)
    assert (scores.argmax(axis=1) == cases.label[split.test]).all()
    assert scores.sum(axis=1) == pytest.approx(np.ones(len(split.test)))
    assert tuned.history == tuple(told)
    assert [line["epoch"] for line in told] == list(range(12))
    best = [line["epoch"] for line in told if line["best"]][-1]
    assert told[best]["held_out_loss"] == min(line["held_out_loss"] for line in told)
    after = encoder.state_dict()
    assert all(
        (after[name] != before[name]).any() for name in ("network.0.weight", "network.1.weight")
    )
    assert not encoder.training


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_stream(
    archive: Archive, cases: Cases
) -> None:
    rows, pixels = choose_split(cases).train, archive_pixels(archive, cases)
    settings = FinetuneSettings(epochs=2, batch=16)
    encoders = [_encoder() for _ in range(3)]
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    found = [
        finetune(encoder, cases, rows, pixels, seed=seed, settings=settings)
        for encoder, seed in zip(encoders, (1, 1, 2), strict=True)
    ]
    assert torch.equal(torch.rand(3), expected)
    weights = [tuned.encoder.state_dict()["network.0.weight"] for tuned in found]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_kept_epoch_gives_its_own_loss_again(archive: Archive, cases: Cases) -> None:
    rows, pixels = choose_split(cases).train, archive_pixels(archive, cases)
    settings = FinetuneSettings(epochs=8, batch=16, rate=1.0)  # so high that losses jump
    tuned = finetune(_encoder(), cases, rows, pixels, seed=0, settings=settings)
    _, hold = hold_out(cases, rows, 0.2, 0)
    likely = tuned.scores(pixels, hold)[np.arange(len(hold)), cases.label[hold]]
    lowest = min(line["held_out_loss"] for line in tuned.history)
    assert -np.log(likely).mean() == pytest.approx(lowest, rel=1e-3, abs=1e-6)
    assert not tuned.history[-1]["best"]


def test_a_fifth_of_the_patients_is_held_out(cases: Cases) -> None:
    rows = choose_split(cases).train
    learn, hold = hold_out(cases, rows, 0.2, 0)
    assert sorted([*learn, *hold]) == rows.tolist()
    assert not set(cases.patient[learn]) & set(cases.patient[hold])
    assert len(np.unique(cases.patient[hold])) == 2
    assert set(cases.label[hold]) == {0, 1}
    assert len(hold_out(cases, rows, 0.0, 0)[1]) == 0


def test_with_nothing_held_out_the_last_epoch_is_kept(archive: Archive, cases: Cases) -> None:
    rows, pixels = choose_split(cases).train, archive_pixels(archive, cases)
    settings = FinetuneSettings(epochs=3, batch=16, held_out=0)
    tuned = finetune(_encoder(), cases, rows, pixels, seed=0, settings=settings)
    assert [(line["best"], line["held_out_loss"]) for line in tuned.history] == [(True, None)] * 3


def test_a_last_batch_of_one_is_left_out(archive: Archive, cases: Cases) -> None:
    rows, pixels = choose_split(cases).train[:17], archive_pixels(archive, cases)
    settings = FinetuneSettings(epochs=1, batch=16, held_out=0)
    finetune(_encoder(), cases, rows, pixels, seed=0, settings=settings)  # BatchNorm would refuse


def test_flips_are_those_asked_for() -> None:
    images = torch.arange(4 * 3 * 2 * 2, dtype=torch.float32).reshape(4, 3, 2, 2)
    asked = np.array([[False, False], [True, False], [False, True], [True, True]])
    found = flip(images, asked)
    for image, before, (rows, columns) in zip(found.numpy(), images.numpy(), asked, strict=True):
        expected = before[:, ::-1] if rows else before
        np.testing.assert_array_equal(image, expected[:, :, ::-1] if columns else expected)


def test_a_loss_that_is_not_finite_is_told(archive: Archive, cases: Cases) -> None:
    encoder = _encoder()
    with torch.no_grad():
        encoder.network[0].weight.fill_(float("nan"))
    rows, pixels = choose_split(cases).train, archive_pixels(archive, cases)
    with pytest.raises(NumericsError, match="fine-tuning's loss is nan in epoch 0; use a lower"):
        finetune(encoder, cases, rows, pixels, seed=0, settings=SETTINGS)


def test_pixels_are_those_of_the_rows_in_any_order(archive: Archive, cases: Cases) -> None:
    rows = np.array([50, 0, 83, 7, 51])
    parts = list(archive_pixels(archive, cases)(rows, 2))
    assert [tuple(part.shape) for part in parts] == [(n, PX, PX, 3) for n in (2, 2, 1)]
    found = torch.cat(parts)
    for row, pixels in zip(rows, found.numpy(), strict=True):
        slide_id = cases.slide_ids[cases.slide[row]]
        expected = PatchReader(archive[slide_id])[int(cases.index[row])]
        np.testing.assert_array_equal(pixels, expected)
