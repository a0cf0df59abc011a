"""The volumes of a set, from a folder or from a CSV: one row per file, none is opened.

CSV columns, in any order; only the image is needed:

    image, label (the label map's file), volume, client (or site), patient, split
"""

import os
from collections.abc import Iterator
from pathlib import Path

from tiling.errors import ManifestError
from tiling.importing.names import split_of
from tiling.importing.rows import LABEL_FOLDERS, MASK_FOLDERS
from tiling.importing.tables import Aliases, Table, read_table
from tiling.importing.volumes import Volume, stem_of
from tiling.manifest import raise_problems
from tiling.slide_ids import safe_slide_id

ENDINGS = (".nii", ".nii.gz")

ALIASES: Aliases = {
    "image": ("file", "path", "image_path", "filename"),
    "label": ("mask", "label_map", "segmentation", "label_path", "mask_path"),
    "volume": ("slide_id", "volume_id"),
    "site": ("client", "site_id", "center", "centre"),
    "patient": ("patient_id", "subject", "case_id"),
    "split": (),
}


def find_volumes(location: str) -> list[Volume]:
    """Collect the volumes of a folder (all below it, label maps by folder) or of a CSV, by ID.

    Raises:
        ManifestError: there is nothing, two volumes have one ID, or the CSV is wrong.
    """
    if "://" in location:
        raise ManifestError(f"{location}: volumes are imported from this machine's disks only")
    path = Path(location).expanduser().absolute()
    if path.is_dir():
        found = list(_walk(path))
        if not found:
            raise ManifestError(f"{path}: no volumes found; searched for {' '.join(ENDINGS)}")
    elif path.is_file() and not path.name.lower().endswith(ENDINGS):
        found = _from_table(read_table(path, ALIASES, "image"))
    else:
        raise ManifestError(f"{location}: no such folder or CSV file")
    _require_distinct(found)
    return sorted(found, key=lambda volume: volume.slide_id)


def _walk(root: Path) -> Iterator[Volume]:
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = sorted(
            s for s in subfolders if s.lower() not in MASK_FOLDERS | LABEL_FOLDERS and s[0] != "."
        )
        for name in sorted(names):
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                path = Path(folder, name)
                relative = path.relative_to(root)
                yield Volume(
                    slide_id=safe_slide_id(stem_of(name)),
                    path=str(path),
                    name=relative.as_posix(),
                    where=relative.as_posix(),
                    label_map=_label_map(path),
                    split=split_of(relative.parent.parts),
                )


def _label_map(path: Path) -> str | None:
    """Find the file of the same name in a folder of labels or masks, beside the volume's folder."""
    for name in sorted(LABEL_FOLDERS | MASK_FOLDERS):
        for home in (path.parent.parent, path.parent):
            if (home / name / path.name).is_file():
                return str(home / name / path.name)
    return None


def _from_table(table: Table) -> list[Volume]:
    volumes = []
    for line in table.lines:
        known = line.values
        file = known["image"]
        path = table.file(file)
        name = Path(os.path.relpath(path, table.path.parent)).as_posix()
        label = known.get("label")
        volumes.append(
            Volume(
                slide_id=safe_slide_id(known.get("volume", stem_of(file))),
                path=path,
                name=name,
                where=f"{table.where(line.number)}: {file}",
                label_map=None if label is None else table.file(label),
                patient=known.get("patient", ""),
                site=known.get("site", ""),
                split=known.get("split", ""),
            )
        )
    return volumes


def _require_distinct(volumes: list[Volume]) -> None:
    first: dict[str, Volume] = {}
    problems = []
    for volume in volumes:
        other = first.setdefault(volume.slide_id.casefold(), volume)
        if other is not volume:
            problems.append(
                f"{other.where} and {volume.where} would both be {volume.slide_id!r} in the "
                "archive; give IDs in the column volume of a CSV"
            )
    raise_problems(problems)
