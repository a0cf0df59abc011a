"""Small sites: volumes of a few slices with a planted structure, and a U-Net of two channels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch

from models.federated.bench import Bench
from models.federated.joining import find_members, open_site
from models.federated.plan import Plan
from models.federated.privacy import FeaturePrivacy
from models.federated.site import Site
from tests.tiling.importing.pictures import write_csv
from tiling.importing.run import run_import
from tiling.importing.volume_rows import find_volumes
from tiling.importing.volumes import VolumeOptions, volume_jobs
from tiling.store import Archive

CPU = torch.device("cpu")
DEPTH, SIDE = 8, 16
NAMES = ("a", "b", "c")


def volume(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A ball in noise, and which voxels it has; slices differ by where they cut it."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (14, 12, DEPTH)), indexing="ij")
    inside = x**2 + y**2 + z**2 < rng.uniform(0.4, 0.8)
    values = rng.normal(0, 0.3, inside.shape) + 2 * inside + z
    return (100 * values).astype(np.float32), inside.astype(np.uint8)


def make_archive(folder: Path, sites: Sequence[str] = NAMES, each: int = 2) -> Path:
    """Import volumes, `each` of every site."""
    rows = []
    for i, site in enumerate(sites):
        for j in range(each):
            name = f"{site}{j}"
            for kind, values in zip(("image", "label"), volume(10 * i + j), strict=True):
                path = folder / "in" / kind / f"{name}.nii"
                path.parent.mkdir(parents=True, exist_ok=True)
                nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
            files = {kind: f"{kind}/{name}.nii" for kind in ("image", "label")}
            rows.append({"client": site, "volume": name, **files})
    table = str(write_csv(folder / "in" / "clients.csv", rows))
    archive = folder / "volumes.zarr"
    run_import(
        list(volume_jobs(find_volumes(table), VolumeOptions(), table)),
        Archive.create(str(archive)),
    )
    return archive


def small_plan(**changes: Any) -> Plan:
    """Two rounds of two steps."""
    usual: dict[str, Any] = {
        "width": 2,
        "side_px": SIDE,
        "rounds": 2,
        "batch": 8,
        "base_lr": 0.05,
        "settings": {"features": 4},
    }
    if changes.get("method", "fcl") != "fcl":
        usual["settings"] = {}
    return Plan(**(usual | changes))


def open_sites(
    archive: Path, plan: Plan, folder: Path, *, privacy: FeaturePrivacy | None = None
) -> tuple[Bench, list[Site]]:
    """Open all sites of an archive on one bench."""
    bench = Bench(plan, CPU)
    members = find_members([str(archive)], None)
    return bench, [open_site(one, bench, folder / one.name, privacy) for one in members]
