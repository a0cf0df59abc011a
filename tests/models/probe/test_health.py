import numpy as np
import pytest

from models.probe import measure_health

RNG = np.random.default_rng


def test_collapsed_embeddings_have_no_spread_and_rank_zero() -> None:
    found = measure_health(np.ones((10, 4)), np.arange(10) % 2, np.arange(10), RNG(0))
    assert found.std == pytest.approx(0, abs=1e-9)
    assert found.effective_rank == 0
    assert found.alignment == pytest.approx(0, abs=1e-9)
    assert found.uniformity == pytest.approx(0, abs=1e-9)


def test_isotropic_embeddings_have_the_best_spread_and_full_rank() -> None:
    rows = RNG(0).normal(size=(3000, 16))
    found = measure_health(rows, np.arange(3000) % 2, np.arange(3000), RNG(0))
    assert found.std_of_best == pytest.approx(1, abs=0.02)
    assert found.effective_rank == pytest.approx(16, abs=0.1)
    # independent directions are at a squared distance of 2 on average
    assert found.alignment == pytest.approx(2, abs=0.02)


def test_a_plane_has_rank_two() -> None:
    flat = RNG(1).normal(size=(500, 2)) @ np.linalg.qr(RNG(2).normal(size=(8, 8)))[0][:2]
    found = measure_health(flat, np.zeros(500), np.arange(500), RNG(0))
    assert found.effective_rank == pytest.approx(2, abs=0.01)


def test_pairs_are_counted_as_in_a_loop() -> None:
    rows, labels, patients = (
        RNG(3).normal(size=(20, 3)),
        RNG(4).integers(0, 2, 20),
        np.arange(20) // 4,
    )
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    alike, every = [], []
    for i in range(20):
        for j in range(i):
            distance = ((unit[i] - unit[j]) ** 2).sum()
            every.append(np.exp(-2 * distance))
            if labels[i] == labels[j] and patients[i] != patients[j]:
                alike.append(distance)
    found = measure_health(rows, labels, patients, RNG(0))
    assert found.alignment == pytest.approx(np.mean(alike))
    assert found.uniformity == pytest.approx(np.log(np.mean(every)))


def test_what_cannot_be_told_is_none() -> None:
    found = measure_health(np.ones((1, 3)), [0], [0], RNG(0))
    assert (found.alignment, found.uniformity) == (None, None)


def test_many_rows_are_sampled_and_zeros_do_no_harm() -> None:
    rows = RNG(0).normal(size=(5000, 4))
    rows[7] = 0
    found = measure_health(rows, np.zeros(5000), np.arange(5000), RNG(0))
    assert found.rows == 4096
    assert found.document()["dim"] == 4
    assert np.isfinite(found.effective_rank)
