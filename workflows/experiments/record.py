"""What an experiment says of itself: whose cells it has, and where it ran."""

import hashlib
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.cluster import cores
from workflows.version import package_version

if TYPE_CHECKING:
    from workflows.config import WorkflowConfig

PLACE = {"out", "seeds", "resamples", "resample_seed", "processes", "device", "overwrite"}
"""Options that do not change what a cell holds, or that its name has."""

PACKAGES = ("microtome", "torch", "timm", "lightning-fabric", "numpy", "scipy")


def identity(config: "WorkflowConfig", free: set[str], rows: str) -> str:
    """Hash all that decides on the results of cells, 16 hex digits.

    Args:
        config: of the experiment.
        free: further options that a run may be taken up again with another value of.
        rows: fingerprint of the patches.
    """
    asked = config.model_dump(mode="json", exclude=PLACE | free)
    text = json.dumps([type(config).__name__, asked, rows], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def machine() -> dict[str, Any]:
    """Say what this process runs on."""
    import torch

    gpus = range(torch.cuda.device_count())
    return {
        "processor": _processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(number) for number in gpus],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: package_version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
