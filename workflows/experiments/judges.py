"""What judges an encoder in the data-efficiency experiment: probes on patches, MIL on bags."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from models.probe import LinearSettings, fit_linear, knn_scores, usual_rate
from workflows.experiments.bench import Bench
from workflows.experiments.data_config import DataEfficiencyConfig, Downstream
from workflows.experiments.embedding import Embedder
from workflows.experiments.loop import Tell
from workflows.experiments.pooling import Prediction, Truth


class Judge(Protocol):
    """Trains classifiers on embeddings of the training side and asks them about the test side."""

    @property
    def truths(self) -> Mapping[Downstream, Truth]:
        """What is tested, by the name of the classifier."""

    @property
    def patches(self) -> int:
        """How many patches it embeds."""

    @property
    def fingerprint(self) -> str:
        """Hash of what is learned and tested on."""

    def predict(self, embedder: Embedder, seed: int, tell: Tell) -> Mapping[Downstream, Prediction]:
        """Embed, learn and predict."""

    def about(self) -> dict[str, Any]:
        """Say what there is, as JSON values."""


class Probes:
    """Nearest neighbours and the linear probe, as in `microtome probe`, with all labels.

    Args:
        bench: the rows.
        config: of the experiment.
    """

    def __init__(self, bench: Bench, config: DataEfficiencyConfig) -> None:
        self._bench, self._config = bench, config
        self._names = [name for name in config.downstream if name != "mil"]
        self._rows = np.sort(np.concatenate([bench.split.train, bench.split.test]))

    @property
    def truths(self) -> Mapping[Downstream, Truth]:
        """The test rows, by probe."""
        return dict.fromkeys(self._names, self._bench.truth)

    @property
    def patches(self) -> int:
        """Labelled patches of both sides."""
        return len(self._rows)

    @property
    def fingerprint(self) -> str:
        """Hash of the rows."""
        return self._bench.fingerprint

    def predict(self, embedder: Embedder, seed: int, tell: Tell) -> Mapping[Downstream, Prediction]:
        """Train every probe on all training rows.

        Raises:
            NumericsError: a probe's loss became NaN.
        """
        bench = self._bench
        values = embedder.embed(bench.pixels(self._rows, embedder.batch), len(self._rows), tell)
        train, test = (
            values[np.searchsorted(self._rows, side)]
            for side in (bench.split.train, bench.split.test)
        )
        labels, classes = bench.cases.label[bench.split.train], len(bench.cases.names)
        found: dict[Downstream, Prediction] = {}
        for name in self._names:
            if name == "knn":
                scores = knn_scores(train, labels, test, classes, k=self._config.neighbours)
            else:
                settings = self._linear(embedder.encoder.card.architecture)
                fit = fit_linear(train, labels, test, classes, seed=seed, settings=settings)
                scores = fit.scores
            found[name] = Prediction(scores)
        return found

    def about(self) -> dict[str, Any]:
        """Say who teaches and who tests."""
        return self._bench.about() | {"leaky": self._bench.leaks}

    def _linear(self, architecture: str) -> LinearSettings:
        config = self._config
        return LinearSettings(
            rate=config.linear_lr or usual_rate(architecture),
            epochs=config.linear_epochs,
            standardise=config.standardise,
        )
