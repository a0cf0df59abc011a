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
PROBE = "probe-{encoder}.safetensors"
"""The linear probe of an encoder's embeddings, on the largest share of the labels."""
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
        probes = [name for name in self._storage.names("") if is_probe(name)]
        for name in (METRICS, SCORES, REPORT, *probes):
            if self._storage.exists(name):
                self._storage.delete(name)
        self._write_json(CONFIG, config.model_dump(mode="json"))

    def add(self, line: Line) -> None:
        """Add a result; what is there so far is on disk after each."""
        self.lines.append(line)
        text = "".join(json.dumps(known, allow_nan=False) + "\n" for known in self.lines)
        self._storage.write(METRICS, [text.encode()])

    def keep_probe(self, encoder: str, data: bytes) -> str:
        """Write the linear probe of an encoder's embeddings; gives where it is."""
        name = PROBE.format(encoder=encoder)
        self._storage.write(name, [data])
        return f"{self.location}/{name}"

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


def is_probe(name: str) -> bool:
    """Whether a file of a run's folder holds a linear probe."""
    first, _, last = PROBE.partition("{encoder}")
    return name.startswith(first) and name.endswith(last)


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
