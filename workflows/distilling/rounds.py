"""The stages of a distillation, one after the other: each is a training in a folder of its own."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workflows.distilling.config import DistillConfig
from workflows.distilling.request import (
    INITIAL_ONLY,
    KIND,
    MODEL,
    job_of,
    stage_config,
    stage_name,
)
from workflows.errors import UsageError
from workflows.progress import ProgressCallback, Update
from workflows.segmenting.request import hash_files
from workflows.training.paths import absolute, is_file
from workflows.training.ranks import under_torchrun
from workflows.training.running import train_into_folder


@dataclass(frozen=True)
class Stage:
    """What came of a stage.

    Attributes:
        number: T; 0 is the initial model.
        folder: of the stage.
        document: record of its training.
    """

    number: int
    folder: Path
    document: dict[str, Any]

    @property
    def name(self) -> str:
        """Of its folder."""
        return stage_name(self.number)

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return bool(self.document["finished"])


class Rounds:
    """Runs the stages of a config.

    Args:
        config: of the command.
        progress: is told.

    Attributes:
        notes: what stages wanted a person to know, each once.
    """

    def __init__(self, config: DistillConfig, progress: ProgressCallback) -> None:
        self._config, self._progress = config, progress
        self._out = Path(config.out).expanduser().absolute()
        self.notes: list[str] = []

    @property
    def numbers(self) -> range:
        """Stages that are trained here."""
        first = 0 if self._config.initial is None else 1
        return range(first, self._config.asked_rounds + 1)

    def check(self) -> None:
        """Refuse options that make no sense together, before anything is trained.

        Raises:
            UsageError: the message says what to change.
        """
        config = self._config
        if under_torchrun():
            raise UsageError(
                "microtome distill trains stage after stage and starts processes for each: leave "
                "torchrun out and use --processes"
            )
        if config.asked_rounds > config.folds:
            raise UsageError(
                f"--rounds {config.rounds}: each round has one fold more, and there are "
                f"{config.folds} --folds"
            )
        if config.teach_folds > config.folds:
            raise UsageError(
                f"--teach-folds {config.teach_folds}: there are {config.folds} --folds"
            )
        if config.initial is None:
            return
        if not is_file(config.initial):
            raise UsageError(f"--initial {config.initial}: there is no such file")
        if not config.asked_rounds:
            raise UsageError("--initial with --rounds 0 leaves nothing to train")
        given = [name for name in INITIAL_ONLY if name in config.model_fields_set]
        self.notes += [f"--{name.replace('_', '-')} has no effect with --initial" for name in given]

    def run(self) -> list[Stage]:
        """Run all stages, or up to the one that was stopped."""
        found: list[Stage] = []
        start = None if self._config.initial is None else absolute(self._config.initial)
        for number in self.numbers:
            stage = self._train(number, start, Share(number - self.numbers[0], len(self.numbers)))
            found.append(stage)
            if not stage.finished:
                break
            start = str(stage.folder / MODEL)
        return found

    def _train(self, number: int, start: str | None, share: "Share") -> Stage:
        config = stage_config(self._config, number, start)
        began = (config.init, config.encoder) if start is None else (start,)
        content = hash_files(began)
        outcome = train_into_folder(
            config,
            KIND,
            lambda: job_of(config, content),
            share.of(self._progress),
            content=content,
        )
        document = outcome.document
        name = stage_name(number)
        self.notes += [f"{name}: {text}" for text in document["notes"]]
        return Stage(number, Path(config.out), document)


@dataclass(frozen=True)
class Share:
    """One of several stages, which take all progress together.

    Attributes:
        done: stages before it.
        count: stages in all.
    """

    done: int
    count: int

    def of(self, progress: ProgressCallback) -> Callable[[Update], None]:
        """Tell of a stage as a part of the whole."""

        def tell(update: Update) -> None:
            inside = min(1.0, update.patches_done / max(update.patches_total, 1))
            progress(replace(update, share=(self.done + inside) / self.count))

        return tell
