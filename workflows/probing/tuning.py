"""Fine-tuning as a probe: opens encoders, reads patches, keeps what was trained."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import torch

from models.encoders import Encoder, open_encoder
from models.errors import EncoderError, NumericsError
from models.probe import FinetuneSettings, Tuned, finetune
from models.probe.features import card_of, open_embeddings
from models.probe.pixels import archive_pixels
from workflows.config import nearest
from workflows.errors import UsageError
from workflows.probing.bench import Bench, Fit
from workflows.probing.files import Line

METHOD = "supervised"
"""METHODS 7: what fine-tuning on labels is."""


@dataclass(frozen=True)
class Start:
    """Where fine-tuning starts from, as `open_encoder` is asked for it."""

    name: str
    weights: str | None = None
    layer: str = "last"
    options: tuple[tuple[str, Any], ...] = ()
    side: int | None = None

    def open(self) -> Encoder:
        """Build the encoder anew.

        Raises:
            EncoderError: there is no such encoder, or it cannot take images of that side.
        """
        options = dict(self.options)
        return open_encoder(self.name, self.weights, self.layer, **options, input_px=self.side)


class Tuner:
    """Fine-tunes encoders by name.

    Args:
        bench: the rows.
        folder: of the run.
        tell: takes a line of every epoch as it ends.

    Raises:
        EncoderError: there is no such encoder, or nobody said which weights.
        UsageError: weights are given for an encoder that is not asked for.
    """

    def __init__(self, bench: Bench, folder: str, tell: Callable[[Line], None]) -> None:
        self._bench, self._folder, self._tell = bench, folder, tell
        config = bench.config
        self._pixels = archive_pixels(bench.archive, bench.cases)
        given = dict(value.split("=", 1) for value in config.weights)
        for encoder in given:
            if encoder not in config.encoder:
                hint = nearest(encoder, config.encoder)
                raise UsageError(f"--weights names {encoder!r}, which is not asked for; {hint}")
        self._starts = {name: self._start(name, given.get(name)) for name in config.encoder}
        for start in self._starts.values():
            start.open()
        device = config.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._settings = FinetuneSettings(
            epochs=config.finetune_epochs,
            batch=config.finetune_batch,
            rate=config.finetune_rate,
            device=device,
        )

    def line(self, fit: Fit) -> Line:
        """Fine-tune on a share of the labels; gives the score, or why there is none."""
        train, started = self._bench.share(fit.fraction), time.monotonic()
        try:
            tuned = finetune(
                self._starts[fit.encoder].open(),
                self._bench.cases,
                train,
                self._pixels,
                seed=self._bench.config.seed,
                settings=self._settings,
                on_epoch=lambda told: self._tell({"kind": "epoch", **fit.document(), **told}),
            )
            scores = tuned.scores(self._pixels, self._bench.split.test, self._settings.batch)
        except NumericsError as err:
            return {"kind": "failed", **fit.document(), "error": str(err)}
        line = self._bench.scored(fit, train, scores)
        if self._bench.config.save_encoders:
            line["checkpoint"] = self._save(fit, tuned, len(train))
        return line | {"seconds": round(time.monotonic() - started, 3)}

    def _start(self, encoder: str, weights: str | None) -> Start:
        """Take the stored embeddings' card where there is one, else the name as it is."""
        bench = self._bench
        try:
            stored = open_embeddings(bench.archive, bench.cases.slide_ids[0], encoder)
        except EncoderError:
            return Start(encoder, weights, side=bench.config.finetune_px)
        card = card_of(stored.attributes, encoder)
        if weights is None and not card.weights.startswith("random:"):
            raise EncoderError(
                f"the embeddings {encoder} were made with the weights {card.weights}; to fine-tune "
                f"from them give the file: --weights {encoder}=FILE"
            )
        side = bench.config.finetune_px or card.input_px
        options = tuple(card.layer_options.items())
        return Start(card.name, weights or card.weights, card.layer, options, side)

    def _save(self, fit: Fit, tuned: Tuned, patches: int) -> str:
        from models.encoders import save_checkpoint

        archive = PurePosixPath(self._bench.archive.location).name
        card = tuned.encoder.card
        seen = f"{archive}: labels of {patches:,} patches (split {self._bench.split.how})"
        name = f"{card.name}-{METHOD}" + ("" if fit.fraction == 1 else f"-{fit.fraction:g}")
        path = f"{self._folder}/{name}.safetensors"
        changes = {"name": name, "method": METHOD, "data": (*card.data, seen)}
        save_checkpoint(path, tuned.encoder, card.model_copy(update=changes))
        return path
