"""The table of workflows that jobs may run, and what each of their words stands for.

Commands that are no work (`serve`, `token`, `doctor`) and those that routes answer themselves
(`info`, `ls`, `encoders`) are not in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from service.errors import InvalidError
from service.jobs.kinds import Kind
from workflows.config import WorkflowConfig, nearest
from workflows.registry import WORKFLOWS

Cluster = Literal["none", "workers", "gpu"]

MACHINE = ("scheduler", "workers", "dashboard", "device", "processes", "decoders")
"""Fields that are the operator's, whatever their type; clients neither see nor give them."""


@dataclass(frozen=True)
class Offer:
    """A workflow that jobs may run.

    Attributes:
        name: of the workflow.
        words: what each field stands for that holds text.
        example: a config.
        cluster: `workers` where Dask's workers do the work, `gpu` where one with a GPU does it if
            there is one, and else the job's own process.
        identifying: what it writes or says may name patients.
        anew: it cannot go on where it was broken off, so another attempt replaces what is there.
        beside: field of the archive beside which it writes where it is given no other place.
    """

    name: str
    words: Mapping[str, Kind]
    example: Mapping[str, Any] = field(default_factory=dict)
    cluster: Cluster = "none"
    identifying: bool = False
    anew: bool = False
    beside: str | None = None

    @property
    def model(self) -> type[WorkflowConfig]:
        """The workflow's config."""
        return WORKFLOWS[self.name].config_model

    @property
    def sentence(self) -> str:
        """What it does."""
        return WORKFLOWS[self.name].sentence

    @property
    def hidden(self) -> frozenset[str]:
        """Fields that clients neither see nor give."""
        return frozenset(MACHINE) & self.model.model_fields.keys()


_CUT = {
    "slides": Kind.SLIDES,
    "manifest": Kind.TABLE,
    "tissue_path": Kind.SOURCE,
    "encoding": Kind.TEXT,
    "reader": Kind.NAME,
    "out": Kind.NEW_ARCHIVE,
}
_TRAINING = {
    "archives": Kind.ARCHIVES,
    "out": Kind.OUT_FOLDER,
    "name": Kind.NAME,
    "split": Kind.NAME,
    "scheduler": Kind.MACHINE,
}
_OF_SLIDES = {"archive": Kind.ARCHIVE, "slide": Kind.NAME}
_OF_BAGS = {"archives": Kind.ARCHIVES, "device": Kind.MACHINE}

_OFFERS = (
    Offer(
        "tile",
        _CUT | {"scheduler": Kind.MACHINE},
        {"slides": ["CMU-1-Small-Region"], "out": "demo.zarr", "mpp": 0.5, "patch_size": 256},
        "workers",
    ),
    Offer("plan", _CUT, {"slides": ["CMU-1-Small-Region"], "mpp": 0.5, "patch_size": 256}),
    Offer(
        "embed",
        _OF_SLIDES
        | {
            "encoder": Kind.ENCODER,
            "weights": Kind.WEIGHTS,
            "layer": Kind.TEXT,
            "name": Kind.NAME,
            "scheduler": Kind.MACHINE,
        },
        {"archive": "demo.zarr", "encoder": "resnet50"},
        "workers",
    ),
    Offer(
        "export",
        _OF_SLIDES | {"encoder": Kind.NAME, "out": Kind.OUT_FOLDER, "prefix_ids": Kind.NAME},
        {"archive": "demo.zarr", "encoder": "resnet50", "format": "clam", "out": "exports/clam"},
        identifying=True,
    ),
    Offer(
        "map",
        {
            "slides": Kind.ARCHIVE_OR_SLIDES,
            "manifest": Kind.TABLE,
            "model": Kind.SOURCE,
            "encoder": Kind.ENCODER,
            "probe": Kind.FILE,
            "attention": Kind.FOLDER,
            "classifier": Kind.SOURCE,
            "out": Kind.OUT_FOLDER,
            "name": Kind.NAME,
            "slide": Kind.NAME,
            "split": Kind.NAME,
            "tissue_path": Kind.SOURCE,
            "reader": Kind.NAME,
            "scheduler": Kind.MACHINE,
        },
        {"slides": ["demo.zarr"], "model": "runs/tissue"},
        "workers",
    ),
    Offer(
        "import patches",
        {
            "source": Kind.SOURCE,
            "out": Kind.NEW_ARCHIVE,
            "slide_by": Kind.TEXT,
            "labels": Kind.LABEL,
            "classes": Kind.TEXT,
        },
        {"source": "incoming/patches", "out": "patches.zarr"},
        identifying=True,
    ),
    Offer(
        "import volumes",
        {"source": Kind.SOURCE, "out": Kind.NEW_ARCHIVE},
        {"source": "incoming/volumes", "out": "volumes.zarr"},
    ),
    Offer(
        "import bags",
        {
            "folder": Kind.FOLDER,
            "archive": Kind.ARCHIVE,
            "name": Kind.NAME,
            "prefix_ids": Kind.NAME,
        },
        {
            "folder": "exports/clam",
            "format": "clam",
            "archive": "demo.zarr",
            "name": "resnet50-back",
        },
    ),
    Offer("verify", _OF_SLIDES, {"archive": "demo.zarr"}),
    Offer(
        "report",
        {"archive": Kind.ARCHIVE, "out": Kind.OUT_HTML},
        {"archive": "demo.zarr", "out": "reports/demo.html"},
        beside="archive",
    ),
    Offer(
        "probe",
        {
            "archive": Kind.ARCHIVE,
            "encoder": Kind.ENCODER,
            "out": Kind.OUT_FOLDER,
            "train_split": Kind.NAME,
            "test_split": Kind.NAME,
            "weights": Kind.NAMED_WEIGHTS,
            "device": Kind.MACHINE,
        },
        {"archive": "patches.zarr", "encoder": ["resnet50"], "out": "runs/probe"},
        anew=True,
    ),
    Offer(
        "pretrain",
        _TRAINING | {"encoder": Kind.ENCODER, "init": Kind.WEIGHTS},
        {"archives": ["demo.zarr"], "method": "simclr", "out": "runs/simclr"},
        "gpu",
    ),
    Offer(
        "distill",
        _TRAINING
        | {
            "test_split": Kind.NAME,
            "initial": Kind.FILE,
            "encoder": Kind.ENCODER,
            "init": Kind.WEIGHTS,
        },
        {"archives": ["patches.zarr"], "encoder": "resnet18", "out": "runs/distilled"},
        "gpu",
        identifying=True,
    ),
    Offer(
        "partition",
        {"archive": Kind.ARCHIVE, "manifest": Kind.TABLE, "order": Kind.TEXT},
        {"archive": "demo.zarr"},
        identifying=True,
    ),
    Offer(
        "mil train",
        _OF_BAGS
        | {
            "encoder": Kind.NAME,
            "out": Kind.OUT_FOLDER,
            "label": Kind.LABEL,
            "labels": Kind.TABLE,
            "folds_file": Kind.FILE,
        },
        {"archives": ["demo.zarr"], "encoder": "resnet50", "out": "runs/mil"},
        identifying=True,
        anew=True,
    ),
    Offer(
        "mil evaluate",
        _OF_BAGS
        | {
            "run": Kind.FOLDER,
            "against": Kind.FOLDER,
            "label": Kind.LABEL,
            "labels": Kind.TABLE,
            "out": Kind.OUT_FOLDER,
        },
        {"run": "runs/mil", "archives": ["other.zarr"], "out": "runs/mil-other"},
        identifying=True,
    ),
    Offer(
        "mil predict",
        _OF_BAGS | {"run": Kind.FOLDER, "out": Kind.OUT_CSV, "report": Kind.OUT_HTML},
        {"run": "runs/mil", "archives": ["demo.zarr"], "out": "runs/predictions.csv"},
        identifying=True,
    ),
    Offer(
        "segment classify",
        _TRAINING | {"val_split": Kind.NAME, "backbone": Kind.ENCODER, "init": Kind.WEIGHTS},
        {"archives": ["patches.zarr"], "out": "runs/classifier"},
        "gpu",
    ),
    Offer(
        "segment pseudo-masks",
        {
            "archives": Kind.ARCHIVES,
            "model": Kind.SOURCE,
            "name": Kind.NAME,
            "split": Kind.NAME,
            "png": Kind.OUT_FOLDER,
            "device": Kind.MACHINE,
        },
        {"archives": ["patches.zarr"], "model": "runs/classifier"},
    ),
    Offer(
        "segment train",
        _TRAINING
        | {
            "val_split": Kind.NAME,
            "masks": Kind.NAME,
            "architecture": Kind.NETWORK,
            "encoder": Kind.NETWORK,
            "encoder_weights": Kind.FILE,
        },
        {"archives": ["patches.zarr"], "out": "runs/segmenter"},
        "gpu",
    ),
    Offer(
        "segment evaluate",
        {
            "archives": Kind.ARCHIVES,
            "model": Kind.SOURCE,
            "classifier": Kind.SOURCE,
            "split": Kind.NAME,
            "out": Kind.OUT_FOLDER,
            "device": Kind.MACHINE,
        },
        {"archives": ["patches.zarr"], "model": "runs/segmenter", "out": "runs/scores"},
    ),
)

OFFERS: dict[str, Offer] = {offer.name: offer for offer in _OFFERS}


def is_identifying(name: str) -> bool:
    """Whether a workflow may name patients; so may one that is not offered any more."""
    return name not in OFFERS or OFFERS[name].identifying


def find_offer(name: str) -> Offer:
    """Find a workflow that jobs may run.

    Raises:
        InvalidError: there is none of that name.
    """
    if name not in OFFERS:
        raise InvalidError(f"there is no workflow {name!r}; {nearest(name, OFFERS)}")
    return OFFERS[name]
