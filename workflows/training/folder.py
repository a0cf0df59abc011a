"""The folder of a training: what is in it already, its record, curves and page."""

import hashlib
import json
import logging
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from workflows.errors import UsageError
from workflows.training.lock import LOCK

log = logging.getLogger(__name__)

CONFIG = "config.json"
RECORD = "run.json"
METRICS = "metrics.jsonl"
CURVES = "curves.png"
REPORT = "report.html"


class TrainConfig(Protocol):
    """What every training is asked for; configs of workflows have more."""

    @property
    def out(self) -> str:
        """Folder of the run."""

    @property
    def overwrite(self) -> bool:
        """Replace another run that the folder holds."""

    @property
    def scheduler(self) -> str | None:
        """Address of a Dask scheduler."""

    @property
    def processes(self) -> int | None:
        """Processes that share the training."""

    def model_dump(self, *, mode: str = ..., exclude: set[str] | None = ...) -> dict[str, Any]:
        """Give the values by name."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What sets one kind of training apart from another.

    Attributes:
        noun: what it is called.
        product: name of the file that comes of it.
        habits: options that a run may be taken up again with another value of.
        entry: function that trains, `module:function`.
        leavings: files of the folder that nobody needs when the record is written, patterns.
    """

    noun: str
    product: str
    habits: Collection[str]
    entry: str
    leavings: tuple[str, ...] = ("state-*.safetensors",)

    def identity(self, config: TrainConfig) -> str:
        """Hash all that makes a run what it is, 16 hex digits."""
        asked = config.model_dump(mode="json", exclude=set(self.habits))
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def product_name(self) -> str:
        """What the product is called in records: its file's name without the ending."""
        return Path(self.product).stem


class RunFolder:
    """A folder that holds one run, finished or not.

    Args:
        config: of the command.
        kind: of the training.
        content: hash of what the config only names, such as files of weights.

    Raises:
        UsageError: it holds another run, or things that are none.
    """

    def __init__(self, config: TrainConfig, kind: Kind, content: str = "") -> None:
        self._kind, self._content = kind, content
        self.path = Path(config.out).expanduser().absolute()
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"--out {config.out} is a file; name a folder")
        self.identity = kind.identity(config)
        found = self._read(CONFIG)
        self._is_ours = found is None
        if found is not None and found.get("identity") != self.identity:
            if not config.overwrite:
                raise UsageError(
                    f"{config.out} holds another {kind.noun} ({self._difference(found, config)}); "
                    "choose another --out, or --overwrite, which removes it and its saved states"
                )
            self._clear()
        elif found is not None and found.get("content", content) != content:
            if not config.overwrite:
                raise UsageError(
                    f"{config.out} holds a {kind.noun} that began with other masks or weights than "
                    "there are now; choose another --out, or --overwrite"
                )
            self._clear()
        elif found is None and self._holds_other_things():
            raise UsageError(f"{config.out} is not empty, and no {kind.noun}; choose another --out")
        elif found is not None and config.overwrite and self.finished is not None:
            self._clear()

    @property
    def finished(self) -> dict[str, Any] | None:
        """Record of the run if it came to its end, and what it made is there."""
        found = self._read(RECORD)
        there = (self.path / self._kind.product).is_file()
        return found if found is not None and found.get("finished") and there else None

    def leave_if_nothing_came_of_it(self) -> None:
        """Empty the folder of a run that began here and ended before anything was saved."""
        saved = [*self.path.glob("state-*.safetensors"), *self.path.glob(self._kind.product)]
        if self._is_ours and not saved:
            self._clear()

    def start(self, config: TrainConfig) -> None:
        """Say whose folder it is."""
        about = {"identity": self.identity, "content": self._content}
        self._write(CONFIG, about | config.model_dump(mode="json"))

    def finish(self, document: dict[str, Any]) -> dict[str, str]:
        """Write record, curves and page; gives where each file is."""
        from workflows.reporting.training import draw_curves, read_metrics, render_training

        lines = read_metrics(self.path / METRICS)
        draw_curves(lines, self.path / CURVES)
        names = {"config": CONFIG, "metrics": METRICS, "curves": CURVES, "report": REPORT}
        files = {kind: str(self.path / name) for kind, name in names.items()}
        if document["finished"]:
            files[self._kind.product_name] = str(self.path / self._kind.product)
        document["files"] = files
        (self.path / REPORT).write_text(render_training(document, lines), encoding="utf-8")
        self._write(RECORD, document)
        if document["finished"]:
            self._remove_leavings()
        return files

    def _holds_other_things(self) -> bool:
        return self.path.is_dir() and any(file.name != LOCK for file in self.path.iterdir())

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            text = (self.path / name).read_text(encoding="utf-8")
            found: dict[str, Any] = json.loads(text)
        except FileNotFoundError:
            return None
        except ValueError:  # cut short: the run ends anew, from its last state
            log.warning("%s is damaged, and not heeded", self.path / name)
            return {} if name == CONFIG else None
        return found

    def _write(self, name: str, document: dict[str, Any]) -> None:
        from models.files import write_whole

        write_whole(self.path / name, json.dumps(document, indent=1).encode() + b"\n")

    def _clear(self) -> None:
        """Remove what a run writes, and nothing else."""
        for name in (CONFIG, RECORD, METRICS, CURVES, REPORT, self._kind.product):
            (self.path / name).unlink(missing_ok=True)
        self._remove_leavings()
        shutil.rmtree(self.path / "tensorboard", ignore_errors=True)

    def _remove_leavings(self) -> None:
        for pattern in self._kind.leavings:
            for file in self.path.glob(pattern):
                file.unlink()

    def _difference(self, found: dict[str, Any], config: TrainConfig) -> str:
        """Name the options that differ."""
        if not found:
            return f"its {CONFIG} is damaged"
        asked = config.model_dump(mode="json", exclude=set(self._kind.habits))
        names = [name for name in asked if found.get(name) != asked[name]]
        return f"with another {', '.join('--' + name.replace('_', '-') for name in names)}"
