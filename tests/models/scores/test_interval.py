import numpy as np
import pytest
from scipy import stats

from models.scores import Interval, student_t


def test_student_t_by_hand() -> None:
    # mean .8, sd .1, 3 folds: reach = 4.302653 * .1 / sqrt(3)
    found = student_t([0.7, 0.8, 0.9])
    assert found.value == pytest.approx(0.8)
    assert found.high == pytest.approx(0.8 + 4.302653 * 0.1 / 3**0.5, abs=1e-6)
    assert found.low == pytest.approx(0.8 - 4.302653 * 0.1 / 3**0.5, abs=1e-6)


def test_student_t_is_that_of_scipy() -> None:
    values = [0.71, 0.69, 0.8, 0.77, 0.75]
    expected = stats.t.interval(0.9, 4, np.mean(values), stats.sem(values))
    found = student_t(values, level=0.9)
    assert (found.low, found.high) == pytest.approx(expected)


def test_one_fold_has_no_interval() -> None:
    assert student_t([0.5]) == Interval(0.5, None, None)


@pytest.mark.parametrize("values", [[], [0.5, float("nan")]])
def test_folds_must_have_values(values: list[float]) -> None:
    with pytest.raises(ValueError, match="need at least one finite value per fold"):
        student_t(values)


def test_a_level_is_a_probability() -> None:
    with pytest.raises(ValueError, match="level must be between 0 and 1, got 95"):
        student_t([0.5, 0.6], level=95)


def test_an_interval_reads_well() -> None:
    assert str(Interval(0.5, 0.25, 0.75)) == "0.500 (0.250 to 0.750)"
    assert str(Interval(0.5, None, None)) == "0.500"
    assert Interval(0.5, 0.25, 0.75, 10, 1).document() == {
        "value": 0.5,
        "low": 0.25,
        "high": 0.75,
        "resamples": 10,
        "undefined": 1,
    }
