"""What an export says of one slide: its files and their hashes, counts, roundings, warnings.

A record is written after the slide's files; a later run believes it only as far as the hashes hold.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.bags.bag import Bag
from models.bags.sink import Sink, digest
from models.bags.table import SlideFacts


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """All that changes the bytes of an export, apart from the slides."""

    format: str
    encoder_id: str
    identity: str
    dtype: str
    keep_unreadable: bool
    prefix: str
    version: str

    @property
    def config_hash(self) -> str:
        """16 hex digits; equal exports have equal hashes."""
        return _hash(asdict(self))[:16]


@dataclass(frozen=True)
class Record:
    """One exported slide.

    Attributes:
        fingerprint: hash of what the files were made from.
        files: `{path below the export folder: [bytes, sha256]}`.
        about: counts and geometry that a person or a program may want to know.
    """

    facts: SlideFacts
    fingerprint: str
    files: Mapping[str, list[Any]]
    about: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return asdict(self)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Record":
        """Make it from JSON values."""
        known = dict(document["facts"])
        mpp = known["mpp_effective"]
        known["mpp_effective"] = None if mpp is None else (mpp[0], mpp[1])
        others = {name: document[name] for name in ("fingerprint", "files", "about")}
        return cls(SlideFacts(**known), **others, warnings=tuple(document["warnings"]))

    def holds(self, root: Path) -> bool:
        """Whether all files are there with the recorded content."""
        return all(
            (path := root / name).is_file()
            and path.stat().st_size == size
            and digest(path) == sha256
            for name, (size, sha256) in self.files.items()
        )


def make_record(bag: Bag, sink: Sink, spec: ExportSpec) -> Record:
    """Describe what was written of a bag."""
    facts = SlideFacts(
        slide_id=bag.slide_id,
        name=bag.name,
        patient=bag.patient,
        site=bag.site,
        label=bag.label,
        split=bag.split,
        count=len(bag),
        patch_px=bag.patch_px,
        mpp_effective=bag.mpp_effective,
        source=str((bag.attributes.get("source") or {}).get("uri", "")),
        notes=sink.notes,
    )
    side = bag.level0_side
    about = {
        "unreadable": bag.n_unreadable,
        "left_out": len(bag.store) - len(bag),
        "mpp0": bag.mpp0,
        "stride_px": bag.stride_px,
        "level0_patch": bag.level0_patch,
        "level0_rounding": abs(side - round(side)),
    }
    warnings = tuple(sink.warnings) + _anisotropy(bag)
    return Record(facts, fingerprint(bag, spec), sink.files, about, warnings)


def fingerprint(bag: Bag, spec: ExportSpec) -> str:
    """Hash what the files of a slide are made from: slide, embeddings, choices."""
    return _hash([bag.attributes, bag.embedding_attributes, len(bag), asdict(spec)])


def _anisotropy(bag: Bag) -> tuple[str, ...]:
    """Tell where a consumer's one number for a side stands for two."""
    width, height = bag.level0_patch
    if abs(width - height) <= 0.5:
        return ()
    return (f"patches cover {width:g} x {height:g} level-0 px; single sides are their mean",)


def _hash(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
