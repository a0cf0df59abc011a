"""Every probe of every encoder on every share of the labels, one result after the other."""

import math
import time
from collections.abc import Iterator

import numpy as np

from models.errors import NumericsError
from models.probe import (
    Features,
    LinearSettings,
    fit_linear,
    knn_scores,
    measure_health,
    pack_probe,
    read_features,
    usual_rate,
)
from models.probe.cases import Indices
from workflows.probing.bench import Bench, Fit, Scores
from workflows.probing.files import Line, RunFolder
from workflows.probing.tuning import Tuner
from workflows.progress import ProgressCallback, Update

ON_EMBEDDINGS = ("knn", "linear")


class Fits:
    """What is to be trained; every encoder is looked for before any work starts.

    Args:
        bench: the rows.
        folder: of the run, where linear probes are kept, and fine-tuned encoders if that is asked
            for; it is told of every epoch of fine-tuning as it ends.

    Raises:
        EncoderError: there are no such embeddings, or no such encoder.
    """

    def __init__(self, bench: Bench, folder: RunFolder) -> None:
        config = bench.config
        self._bench, self._config, self._folder = bench, config, folder
        self._probes = [probe for probe in config.probe if probe in ON_EMBEDDINGS]
        tune = "finetune" in config.probe
        self._tuner = Tuner(bench, folder.location, folder.add) if tune else None
        for encoder in config.encoder if self._probes else ():
            read_features(bench.archive, bench.cases, encoder, bench.split.test[:1])

    def results(self, progress: ProgressCallback) -> Iterator[Line]:
        """Give health, scores and failures as they come, and at last the comparisons."""
        config, started = self._config, time.monotonic()
        total = len(config.encoder) * len(config.probe) * len(config.fractions)
        done, failed = 0, 0
        for encoder in config.encoder:
            for line in self._of(encoder):
                done += line["kind"] != "health"
                failed += line["kind"] == "failed"
                elapsed = time.monotonic() - started
                progress(Update(total, done, failed, elapsed_s=elapsed, noun="fits"))
                yield line
        yield from self._bench.comparisons()

    def _of(self, encoder: str) -> Iterator[Line]:
        if self._probes:
            split = self._bench.split
            rows = np.sort(np.concatenate([split.train, split.test]))
            features = read_features(self._bench.archive, self._bench.cases, encoder, rows)
            yield self._health(features)
            for probe in self._probes:
                for fraction in self._config.fractions:
                    yield self._on_embeddings(Fit(probe, fraction, encoder), features)
        if self._tuner is not None:
            for fraction in self._config.fractions:
                yield self._tuner.line(Fit("finetune", fraction, encoder))

    def _health(self, features: Features) -> Line:
        train, cases = self._bench.split.train, self._bench.cases
        rng = np.random.Generator(np.random.PCG64(self._config.seed))
        values = features.of(train)
        health = measure_health(values, cases.label[train], cases.patient[train], rng)
        told = {"kind": "health", "encoder": features.encoder_id, **health.document()}
        return told | {"card": features.card.document()}

    def _on_embeddings(self, fit: Fit, features: Features) -> Line:
        train, started = self._bench.share(fit.fraction), time.monotonic()
        try:
            make = self._neighbours if fit.probe == "knn" else self._linear
            scores, further = make(features, train, fit.fraction)
        except NumericsError as err:
            return {"kind": "failed", **fit.document(), "error": str(err)}
        line = self._bench.scored(fit, train, scores)
        return line | further | {"seconds": round(time.monotonic() - started, 3)}

    def _neighbours(
        self, features: Features, train: Indices, fraction: float
    ) -> tuple[Scores, Line]:
        del fraction
        scores = knn_scores(
            features.of(train),
            self._bench.cases.label[train],
            features.of(self._bench.split.test),
            len(self._bench.cases.names),
            k=self._config.neighbours,
            temperature=self._config.temperature,
        )
        return scores, {"k": min(self._config.neighbours, len(train))}

    def _linear(self, features: Features, train: Indices, fraction: float) -> tuple[Scores, Line]:
        config = self._config
        settings = LinearSettings(
            rate=config.linear_rate or usual_rate(features.card.architecture),
            batch=config.linear_batch,
            epochs=config.linear_epochs,
            standardise=config.standardise,
        )
        fit = fit_linear(
            features.of(train),
            self._bench.cases.label[train],
            features.of(self._bench.split.test),
            len(self._bench.cases.names),
            seed=config.seed,
            settings=settings,
        )
        loss = fit.losses[-1]
        guessing = math.log(len(self._bench.cases.names))  # the loss of equal probabilities
        line: Line = {"rate": settings.rate, "loss": loss, "unsettled": loss > guessing}
        if fraction == max(config.fractions):
            card = self._bench.probe_card(features, train)
            data = pack_probe(fit.probe, card)
            line["classifier"] = self._folder.keep_probe(features.encoder_id, data)
        return fit.scores, line
