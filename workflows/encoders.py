"""`microtome encoders`: which encoders there are."""

from typing import TYPE_CHECKING, Any

from workflows.config import WorkflowConfig
from workflows.extras import needs
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback

if TYPE_CHECKING:
    from models.encoders.known import Known


class EncodersConfig(WorkflowConfig):
    """List encoders: length of their vectors, input size, resolution, licence, other names.

    Beyond those that are listed, any network of timm works by its name, and any `hf-hub:OWNER/NAME`
    of networks that timm loads.
    """

    find: str | None = None
    """Part of a name: list only encoders that have it in one of their names, and timm's too."""


def run(config: EncodersConfig, progress: ProgressCallback) -> Outcome:
    """List the table, and with `find` the names of timm, without building any network."""
    del progress
    with needs("models"):
        from models.encoders.table import known_encoders
    asked = (config.find or "").lower()
    rows = [row for row in known_encoders() if any(asked in name.lower() for name in row.names)]
    document: dict[str, Any] = {"find": config.find, "encoders": [_described(row) for row in rows]}
    if asked:
        document["timm"] = _timm_names(asked)
    return Outcome(document)


def _described(row: "Known") -> dict[str, Any]:
    return {
        "name": row.name,
        "aliases": list(row.aliases),
        "architecture": row.architecture,
        "dim": row.dim,
        "input_px": row.input_px,
        "mpp": row.mpp,
        "mean": list(row.mean),
        "std": list(row.std),
        "weights": row.weights,
        "gated": row.gated,
        "licence": row.licence,
        "page": row.page,
        "method": row.method,
        "data": list(row.data),
        "remark": row.remark,
    }


def _timm_names(asked: str) -> list[dict[str, Any]]:
    """Networks of timm, each with the tags of its published weights; the first is the default."""
    with needs("models"):
        import timm
    names = [name for name in timm.list_models() if asked in name]
    tagged = timm.list_models(pretrained=True)
    tags: dict[str, list[str]] = {name: [] for name in names}
    for full in tagged:
        name, _, tag = full.partition(".")
        if name in tags and tag:
            tags[name].append(tag)
    return [
        {"name": name, "input_px": _input_px(name), "tags": found} for name, found in tags.items()
    ]


def _input_px(name: str) -> int | None:
    from timm import get_pretrained_cfg

    found = get_pretrained_cfg(name)
    return int(found.input_size[-1]) if found else None
