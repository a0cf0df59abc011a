"""The fastest setting wins, and what cannot pay for itself is not tried."""

import time

import pytest
import torch
from torch import Tensor, nn

from models.embedding import calibrate
from models.embedding.calibrate import Job, bf16_helps, choose
from models.embedding.setting import REPRODUCIBLE, Setting
from models.encoders import Encoder

CPU = torch.device("cpu")
LONG = 10**6


class Timed(nn.Module):
    """Takes as long as it is told for each layout and number format, and hardly computes."""

    def __init__(self, milliseconds: dict[tuple[str, bool], float]) -> None:
        super().__init__()
        self.milliseconds = milliseconds
        self.tried: list[tuple[str, bool]] = []

    def forward(self, images: Tensor) -> Tensor:
        last = images.is_contiguous(memory_format=torch.channels_last)
        key = ("bf16" if torch.is_autocast_enabled("cpu") else "float32", last)
        self.tried.append(key)
        time.sleep(self.milliseconds[key] * len(images) / 1000)
        return images.mean((2, 3))


def job(patches: int, wanted: str = "auto") -> Job:
    return Job(patches, wanted, torch.zeros((4, 160, 160, 3), dtype=torch.uint8))


def timed(encoder: Encoder, **milliseconds: float) -> Timed:
    names = {"f": ("float32", True), "fc": ("float32", False), "b": ("bf16", True)}
    names["bc"] = ("bf16", False)
    encoder.network = Timed({names[name]: value for name, value in milliseconds.items()})
    return encoder.network


@pytest.fixture(autouse=True)
def no_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "COMPILING_PAYS_S", float("inf"))


@pytest.mark.parametrize(
    ("costs", "best"),
    [
        ({"f": 40, "fc": 80, "b": 10}, Setting("bf16", channels_last=True)),
        ({"f": 40, "fc": 10, "b": 99, "bc": 80}, Setting("float32", channels_last=False)),
        ({"f": 10, "fc": 30, "b": 30}, REPRODUCIBLE),
        ({"f": 80, "fc": 40, "b": 99, "bc": 10}, Setting("bf16", channels_last=False)),
    ],
)
def test_the_fastest_is_chosen(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch, costs: dict[str, float], best: Setting
) -> None:
    monkeypatch.setattr(calibrate, "bf16_helps", lambda _: True)
    timed(encoder, **costs)
    choice = choose(encoder, CPU, job(LONG))
    assert choice.setting == best
    assert len(choice.rates) == 3
    assert max(choice.rates, key=lambda name: choice.rates[name]) == str(best)


def test_bf16_is_not_tried_where_the_processor_lacks_it(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "bf16_helps", lambda _: False)
    network = timed(encoder, f=5, fc=5)
    assert choose(encoder, CPU, job(LONG)).setting == REPRODUCIBLE
    assert {name for name, _ in network.tried} == {"float32"}


def test_a_setting_that_is_far_slower_is_tried_with_one_patch_only(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "bf16_helps", lambda _: True)
    network = timed(encoder, f=5, fc=5, b=200, bc=200)
    assert choose(encoder, CPU, job(LONG)).setting.precision == "float32"
    assert sum(1 for name, _ in network.tried if name == "bf16") == 2


def test_a_short_job_tries_nothing_else(encoder: Encoder) -> None:
    network = timed(encoder, f=5)
    choice = choose(encoder, CPU, job(20))
    assert (choice.setting, list(choice.rates)) == (REPRODUCIBLE, ["float32 channels-last"])
    assert set(network.tried) == {("float32", True)}


def test_float32_is_fixed_without_a_measurement(encoder: Encoder) -> None:
    network = timed(encoder)
    assert choose(encoder, CPU, job(LONG, "float32")).setting == REPRODUCIBLE
    assert network.tried == []


def test_bf16_that_was_asked_for_is_kept(encoder: Encoder) -> None:
    network = timed(encoder, b=5, bc=9)
    assert choose(encoder, CPU, job(LONG, "bf16")).setting == Setting("bf16")
    assert {name for name, _ in network.tried} == {"bf16"}


def test_a_network_that_does_not_compile_stays_as_it_is(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "COMPILING_PAYS_S", 0.0)
    monkeypatch.setattr(calibrate, "bf16_helps", lambda _: False)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", lambda network, dynamic: fail)
    timed(encoder, f=5, fc=5)
    choice = choose(encoder, CPU, job(LONG))
    assert not choice.setting.compiled
    assert choice.rates["float32 channels-last compiled"] == 0


def test_bf16_helps_only_where_both_parts_of_networks_are_fast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def seconds(*measured: float) -> bool:
        times = iter(measured)  # product and convolution in float32, then in bf16
        monkeypatch.setattr(calibrate, "_best_s", lambda _: next(times))
        return bf16_helps(CPU)

    assert seconds(4, 4, 2, 2)
    assert not seconds(4, 4, 40, 2)
    assert not seconds(4, 4, 2, 40)


def test_settings_are_read_as_they_are_recorded() -> None:
    setting = Setting("bf16", channels_last=False, compiled=True)
    assert Setting.recorded(setting.document("cpu")) == setting
    assert Setting.recorded({"device": "cpu"}) is None
    assert Setting.recorded(setting.document("cpu") | {"precision": "float8"}) is None
    assert str(setting) == "bf16 contiguous compiled"
