"""The folder of a pretraining: what is in it already, its record, curves and page."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.errors import UsageError
from workflows.pretraining.request import identity_of

if TYPE_CHECKING:
    from workflows.pretraining.config import PretrainConfig

CONFIG = "config.json"
RECORD = "run.json"
METRICS = "metrics.jsonl"
CURVES = "curves.png"
REPORT = "report.html"
ENCODER = "encoder.safetensors"


class RunFolder:
    """A folder that holds one run, finished or not.

    Raises:
        UsageError: it holds another run, or things that are none.
    """

    def __init__(self, config: "PretrainConfig") -> None:
        self.path = Path(config.out).expanduser().absolute()
        self.identity = identity_of(config)
        found = self._read(CONFIG)
        if found is not None and found.get("identity") != self.identity:
            if not config.overwrite:
                raise UsageError(
                    f"{config.out} holds another pretraining; choose another --out, or --overwrite"
                )
            self._clear()
        elif found is None and self.path.is_dir() and any(self.path.iterdir()):
            raise UsageError(f"{config.out} is not empty, and no pretraining; choose another --out")
        elif found is not None and config.overwrite and self.finished is not None:
            self._clear()

    @property
    def finished(self) -> dict[str, Any] | None:
        """Record of the run if it came to its end."""
        found = self._read(RECORD)
        return found if found is not None and found["finished"] else None

    def start(self, config: "PretrainConfig") -> None:
        """Say whose folder it is."""
        self._write(CONFIG, {"identity": self.identity, **config.model_dump(mode="json")})

    def finish(self, document: dict[str, Any]) -> dict[str, str]:
        """Write record, curves and page; gives where each file is."""
        from workflows.reporting.training import draw_curves, read_metrics, render_training

        lines = read_metrics(self.path / METRICS)
        draw_curves(lines, self.path / CURVES)
        names = {"config": CONFIG, "metrics": METRICS, "curves": CURVES, "report": REPORT}
        files = {kind: str(self.path / name) for kind, name in names.items()}
        if document["finished"]:
            files["encoder"] = str(self.path / ENCODER)
        document["files"] = files
        (self.path / REPORT).write_text(render_training(document, lines), encoding="utf-8")
        self._write(RECORD, document)
        return files

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            text = (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        found: dict[str, Any] = json.loads(text)
        return found

    def _write(self, name: str, document: dict[str, Any]) -> None:
        from models.files import write_whole

        write_whole(self.path / name, json.dumps(document, indent=1).encode() + b"\n")

    def _clear(self) -> None:
        """Remove what a run writes, and nothing else."""
        for name in (CONFIG, RECORD, METRICS, CURVES, REPORT, ENCODER):
            (self.path / name).unlink(missing_ok=True)
        for state in self.path.glob("state-*.safetensors"):
            state.unlink()
        shutil.rmtree(self.path / "tensorboard", ignore_errors=True)
