"""An export folder: slides written one by one, `microtome.json` last, and runs that go on.

Until `microtome.json` is there the export is not finished. What is done meanwhile is known from
records in `.microtome/`, which the last write makes superfluous.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from models.bags.bag import Bag
from models.bags.record import ExportSpec, Record, fingerprint, make_record
from models.bags.sink import TEMPORARY, Sink
from models.bags.table import Cohort, open_format
from models.encoders.card import EncoderCard
from models.errors import BagError

SUMMARY = "microtome.json"
WORK = ".microtome"
SUMMARY_FORMAT = 1
SMALL_BAG = 8
"""Patches that CLAM's instance loss samples; its model fails on bags of fewer."""


class ExportFolder:
    """The folder that a run writes.

    Args:
        root: the folder; made where there is none.
        spec: what the export is made of.
    """

    def __init__(self, root: Path, spec: ExportSpec) -> None:
        self.root, self.spec = root, spec
        self._work = root / WORK

    def begin(self) -> None:
        """Make or re-open the folder; what an ended or killed run did is kept.

        Raises:
            BagError: it holds something else, or the export of another encoder, format or dtype.
        """
        if self.root.exists() and not self.root.is_dir():
            raise BagError(f"{self.root} is a file; choose another --out")
        self.root.mkdir(parents=True, exist_ok=True)
        others = any(path != self._work for path in self.root.iterdir())
        if others and self._known() is None:
            raise BagError(f"{self.root} holds files and no export of ours; choose another --out")
        self._require_alike()
        for left in self.root.rglob(TEMPORARY):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)

    def reopen(self) -> None:
        """Mark the export as not finished, before anything in it changes."""
        summary = self.summary
        if summary.is_file():
            for document in json.loads(summary.read_text(encoding="utf-8"))["slides"]:
                self._put(Record.parse(document))
        self._write(f"{WORK}/export.json", {"spec": asdict(self.spec)})
        summary.unlink(missing_ok=True)

    @property
    def summary(self) -> Path:
        """Where `microtome.json` is, or will be."""
        return self.root / SUMMARY

    @property
    def is_finished(self) -> bool:
        """Whether the last run ended."""
        return self.summary.is_file()

    def read_summary(self) -> dict[str, Any]:
        """Read `microtome.json`; empty where there is none."""
        return _read(self.summary) or {}

    def records(self) -> dict[str, Record]:
        """Give what is recorded, by slide ID; the content of files is not checked."""
        summary = _read(self.summary)
        documents = list(summary["slides"]) if summary else []
        if not summary and (self._work / "slides").is_dir():
            documents = [_read(path) for path in sorted((self._work / "slides").glob("*.json"))]
        found = (Record.parse(document) for document in documents if document)
        return {record.facts.slide_id: record for record in found}

    def is_done(self, bag: Bag, records: Mapping[str, Record]) -> bool:
        """Whether the files of a bag are there, were made from the same, and are whole."""
        record = records.get(bag.slide_id)
        made = record is not None and record.fingerprint == fingerprint(bag, self.spec)
        return bool(made and record is not None and record.holds(self.root))

    def write(self, bag: Bag) -> Record:
        """Write the files of one slide, then its record; safe in several processes at once.

        Raises:
            BagError: the bag cannot be written in this format.
        """
        sink = Sink(self.root)
        open_format(self.spec.format).write(bag, sink, np.dtype(self.spec.dtype))
        sink.flush()
        record = make_record(bag, sink, self.spec)
        self._put(record)
        return record

    def finish(self, card: EncoderCard, about: Mapping[str, Any]) -> Path:
        """Write the files about the cohort, and `microtome.json` last; gives its path.

        Args:
            card: of the encoder.
            about: further values for `microtome.json`: archive, versions, slides that failed.
        """
        records = sorted(self.records().values(), key=lambda record: record.facts.slide_id)
        sink = Sink(self.root)
        facts = tuple(record.facts for record in records)
        cohort = Cohort(facts, card, self.spec.encoder_id, card.dim, self.spec.dtype)
        open_format(self.spec.format).finish(cohort, sink)
        sink.flush()
        self._write(SUMMARY, self._summary(records, sink, card) | dict(about))
        shutil.rmtree(self._work, ignore_errors=True)
        return self.summary

    def _summary(self, records: list[Record], sink: Sink, card: EncoderCard) -> dict[str, Any]:
        files = dict(sink.files)
        for record in records:
            files.update(record.files)
        small = [r.facts.slide_id for r in records if 0 < r.facts.count < SMALL_BAG]
        return {
            "microtome_export": SUMMARY_FORMAT,
            "spec": asdict(self.spec),
            "config_hash": self.spec.config_hash,
            "encoder": {"id": self.spec.encoder_id, "card": card.document()},
            "files": {name: {"bytes": n, "sha256": h} for name, (n, h) in sorted(files.items())},
            "slides": [record.document() for record in records],
            "empty": [r.facts.slide_id for r in records if r.facts.count == 0],
            "fewer_than_8": small,
            "unreadable": sum(int(r.about["unreadable"]) for r in records),
            "warnings": list(sink.warnings)
            + [f"{r.facts.slide_id}: {w}" for r in records for w in r.warnings],
        }

    def _put(self, record: Record) -> None:
        self._write(f"{WORK}/slides/{record.facts.slide_id}.json", record.document())

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        sink = Sink(self.root)
        sink.text(name, json.dumps(document, indent=1, sort_keys=True) + "\n")
        sink.flush()

    def _known(self) -> dict[str, Any] | None:
        return _read(self.summary) or _read(self._work / "export.json")

    def _require_alike(self) -> None:
        known = self._known()
        if known is None:
            return
        then, now = dict(known["spec"]), asdict(self.spec)
        for name in sorted(now.keys() - {"version"}, key=lambda name: (name != "format", name)):
            if then.get(name) != now[name]:
                raise BagError(
                    f"{self.root} holds an export with {name} {then.get(name)!r}, and this one has "
                    f"{now[name]!r}; one folder is one export, choose another --out"
                )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        parsed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as err:
        raise BagError(f"{path} is damaged: {err}; remove the folder and export again") from err
    return parsed
