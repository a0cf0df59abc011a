"""The folder of a run: its config, one JSON line per result, a table of scores, and the page."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from workflows.errors import UsageError
from workflows.version import package_version

if TYPE_CHECKING:
    from workflows.config import WorkflowConfig

CONFIG = "config.json"
METRICS = "metrics.jsonl"
SCORES = "scores.csv"
REPORT = "report.html"
COLUMNS = ("encoder", "probe", "fraction", "metric", "value", "low", "high")

Line = dict[str, Any]


class RunFolder:
    """Files of one run, on disk or in a bucket; every file is written at once.

    Raises:
        UsageError: the folder holds a run, which is not to be replaced.
    """

    def __init__(self, location: str, *, overwrite: bool) -> None:
        from tiling.storage import open_storage

        self.location = location.rstrip("/")
        self.lines: list[Line] = []
        self._storage = open_storage(self.location)
        if self._storage.exists(CONFIG) and not overwrite:
            raise UsageError(
                f"{location} holds a run already; choose another --out, or --overwrite"
            )

    def start(self, config: "WorkflowConfig") -> None:
        """Write the config; results of an earlier run go."""
        for name in (METRICS, SCORES, REPORT):
            if self._storage.exists(name):
                self._storage.delete(name)
        self._write_json(CONFIG, config.model_dump(mode="json"))

    def add(self, line: Line) -> None:
        """Add a result; what is there so far is on disk after each."""
        self.lines.append(line)
        text = "".join(json.dumps(known, allow_nan=False) + "\n" for known in self.lines)
        self._storage.write(METRICS, [text.encode()])

    def finish(self, document: Mapping[str, Any]) -> dict[str, str]:
        """Write the table and the page; gives where each file is."""
        from workflows.reporting.probing import render_probe

        self._storage.write(SCORES, [scores_csv(self.lines)])
        page = render_probe(document, package_version("microtome") or "")
        self._storage.write(REPORT, [page.encode()])
        names = {"config": CONFIG, "metrics": METRICS, "scores": SCORES, "report": REPORT}
        return {kind: f"{self.location}/{name}" for kind, name in names.items()}

    def _write_json(self, name: str, document: Mapping[str, Any]) -> None:
        self._storage.write(name, [json.dumps(document, indent=1).encode() + b"\n"])


def scores_csv(lines: Iterable[Line]) -> bytes:
    """Give one row per encoder, probe, share of the labels and metric; empty where undefined."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for line in lines:
        if line["kind"] == "score":
            for metric, found in line["metrics"].items():
                ends = [found[end] for end in ("value", "low", "high")] if found else [""] * 3
                writer.writerow([line["encoder"], line["probe"], line["fraction"], metric, *ends])
    return text.getvalue().encode()
