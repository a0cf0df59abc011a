import math
from dataclasses import replace

import pytest
import torch
from timm.scheduler import CosineLRScheduler

from models.training.schedule import learning_rate, set_learning_rate
from models.training.settings import TrainSettings

SETTINGS = TrainSettings(epochs=10, batch=1024, base_lr=0.3, warmup_epochs=2)


def test_the_rate_is_that_of_another_library_at_every_step() -> None:
    per_epoch, peak = 7, 0.3 * 1024 / 256
    parameter = torch.nn.Parameter(torch.zeros(1))
    other = CosineLRScheduler(
        torch.optim.SGD([parameter], peak),
        t_initial=8 * per_epoch,
        warmup_t=2 * per_epoch,
        warmup_lr_init=0,
        warmup_prefix=True,
        t_in_epochs=False,
    )
    for step in range(10 * per_epoch):
        other.step_update(step)
        expected = other.optimizer.param_groups[0]["lr"]
        assert learning_rate(SETTINGS, step, per_epoch) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(0, 0.0, id="start"),
        pytest.param(50, 0.3, id="a quarter of the warm-up"),
        pytest.param(199, 1.194, id="last of the warm-up"),
        pytest.param(200, 1.2, id="peak"),
        pytest.param(600, 0.6, id="half of the cosine"),
        pytest.param(1000, 0.0, id="end"),
        pytest.param(1001, 0.0, id="beyond"),
    ],
)
def test_the_rate_at_chosen_steps(step: int, expected: float) -> None:
    found = learning_rate(SETTINGS, step, 100)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert found == 0.0 or expected != 0.0  # zero is exact


def test_without_warm_up_the_first_step_has_the_full_rate() -> None:
    assert learning_rate(replace(SETTINGS, warmup_epochs=0), 0, 100) == 1.2


def test_a_fraction_of_an_epoch_can_be_the_warm_up() -> None:
    settings = replace(SETTINGS, warmup_epochs=0.5)
    assert learning_rate(settings, 25, 100) == pytest.approx(0.6)
    cosine = 0.5 * (1 + math.cos(math.pi * (1 - 0.5) / 9.5))
    assert learning_rate(settings, 100, 100) == pytest.approx(1.2 * cosine)


def test_a_run_of_nothing_but_warm_up_ends_at_the_peak() -> None:
    settings = replace(SETTINGS, epochs=2)
    assert learning_rate(settings, 199, 100) == pytest.approx(1.2 * 199 / 200)
    assert learning_rate(settings, 200, 100) == 0.0


def test_a_constant_rate_has_no_warm_up() -> None:
    settings = replace(SETTINGS, constant_lr=True)
    assert {learning_rate(settings, step, 100) for step in (0, 500, 999)} == {1.2}


def test_an_unscaled_rate_does_not_know_the_batch() -> None:
    assert learning_rate(replace(SETTINGS, scale_lr=False), 200, 100) == 0.3


def test_the_rate_is_set_for_all_groups() -> None:
    one, two = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [one]}, {"params": [two], "lr": 5.0}], 1.0)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


def test_a_power_of_what_is_left_takes_the_place_of_the_cosine() -> None:
    settings = replace(SETTINGS, poly=0.9)
    assert learning_rate(settings, 100, 100) == pytest.approx(0.6)
    expected = [1.2 * (1 - (step - 200) / 800) ** 0.9 for step in range(200, 1000)]
    assert [learning_rate(settings, step, 100) for step in range(200, 1000)] == pytest.approx(
        expected
    )
    assert learning_rate(settings, 1000, 100) == 0.0
    plain = replace(settings, warmup_epochs=0, scale_lr=False)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], 0.3)
    other = torch.optim.lr_scheduler.PolynomialLR(optimizer, 1000, 0.9)
    for step in range(1000):
        assert learning_rate(plain, step, 100) == pytest.approx(other.get_last_lr()[0])
        optimizer.step()
        other.step()
