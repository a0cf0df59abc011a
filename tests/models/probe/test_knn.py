import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from models.probe import knn_scores


def _slow(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, classes: int, k: int
) -> np.ndarray:
    scores = np.zeros((len(test), classes))
    for i, query in enumerate(test):
        cosines = [
            float(query @ key / (np.linalg.norm(query) * np.linalg.norm(key))) for key in train
        ]
        for j in sorted(range(len(train)), key=lambda j: -cosines[j])[:k]:
            scores[i, labels[j]] += np.exp(cosines[j] / 0.07)
    return scores / scores.sum(axis=1, keepdims=True)


def _drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 6)), rng.integers(0, 3, 60), rng.normal(size=(25, 6))


@pytest.mark.parametrize("k", [1, 20, 60])
def test_votes_are_those_of_a_loop(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.probe.knn.BLOCK", 7)
    train, labels, test = _drawn()
    found = knn_scores(train, labels, test, 3, k=k)
    assert found == pytest.approx(_slow(train, labels, test, 3, k), rel=1e-4, abs=1e-6)


def test_predictions_are_those_of_scikit_learn() -> None:
    train, labels, test = _drawn()
    reference = KNeighborsClassifier(
        20, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
    ).fit(train, labels)
    found = knn_scores(train, labels, test, 3)
    assert found == pytest.approx(reference.predict_proba(test), abs=1e-5)


def test_fewer_rows_than_neighbours_all_vote() -> None:
    found = knn_scores([[1.0, 0], [0, 1]], [0, 2], [[1.0, 0], [1, 1]], 4, k=20)
    assert found.shape == (2, 4)
    assert found[0, 0] > 0.999
    assert found[1].tolist() == pytest.approx([0.5, 0, 0.5, 0])


def test_length_does_not_matter() -> None:
    train, labels, test = _drawn()
    scaled = knn_scores(1e30 * train, labels, 1e-30 * test, 3)
    assert scaled == pytest.approx(knn_scores(train, labels, test, 3), abs=1e-5)


@pytest.mark.parametrize("changes", [{"k": 0}, {"temperature": 0.0}])
def test_what_makes_no_sense_is_refused(changes: dict) -> None:
    with pytest.raises(ValueError, match="k and temperature must be positive, got"):
        knn_scores([[1.0]], [0], [[1.0]], 2, **changes)
    with pytest.raises(ValueError, match=r"embeddings must be \(n, D\) with n > 0, got \(0, 3\)"):
        knn_scores(np.zeros((0, 3)), [], [[1.0, 0, 0]], 2)
