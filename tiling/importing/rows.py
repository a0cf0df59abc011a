"""The patches of a set, from a folder or from a CSV: one row per file, no image is opened.

CSV columns, in any order; only the file is needed:

    file, mask, slide_id, patient, site, split, label, slide_label, x, y, mpp
"""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tiling.errors import ManifestError
from tiling.importing.names import SPLITS, split_of
from tiling.importing.tables import Aliases, Table, read_table
from tiling.manifest import raise_problems

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"})
"""What a folder is searched for."""

MASK_FOLDERS = frozenset({"mask", "masks"})
LABEL_FOLDERS = frozenset({"label", "labels"})
"""Folders of masks where a folder of images lies beside them."""
IMAGE_FOLDERS = frozenset({"img", "imgs", "image", "images"})
"""Folders that say nothing of what is in them."""

ALIASES: Aliases = {
    "file": ("path", "image", "image_path", "filename", "file_name"),
    "mask": ("mask_path", "mask_file"),
    "slide_id": ("slide", "source_slide"),
    "patient": ("patient_id", "case_id"),
    "site": ("site_id", "center", "centre", "client"),
    "split": (),
    "label": (),
    "slide_label": (),
    "x": (),
    "y": (),
    "mpp": (),
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """One patch.

    Attributes:
        path: of the image, absolute.
        name: relative to the folder or the CSV, with `/`; what the order of patches goes by.
        where: how messages name it.
        values: what the CSV says, by column; of a folder at most `split`.
        mask: absolute path of its mask.
        folders: those between the set and the file that mean something.
    """

    path: str
    name: str
    where: str
    values: Mapping[str, str] = field(default_factory=dict)
    mask: str | None = None

    @property
    def stem(self) -> str:
        """File name without its extension."""
        return PurePosixPath(self.name).stem

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders between the set and the file that say something of it."""
        parts = PurePosixPath(self.name).parent.parts
        return tuple(p for p in parts if p.lower() not in IMAGE_FOLDERS and p not in ("..", "/"))


@dataclass(frozen=True)
class PatchSet:
    """All patches that are asked for; `columns` is empty where there is no CSV."""

    location: str
    rows: tuple[Row, ...]
    columns: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the folder, or of the CSV without its extension."""
        path = Path(self.location)
        return path.stem if self.columns else path.name


def find_patches(location: str) -> PatchSet:
    """Collect the patches of a folder (everything below it) or of a CSV.

    Raises:
        ManifestError: there is nothing, or the CSV is wrong; problems name their lines.
    """
    if "://" in location:
        raise ManifestError(f"{location}: patches are imported from this machine's disks only")
    path = Path(location).expanduser().absolute()
    if path.is_dir():
        return _from_folder(path)
    if not path.is_file():
        raise ManifestError(f"{location}: no such folder or CSV file")
    if path.suffix.lower() in EXTENSIONS:
        raise ManifestError(f"{location} is one image; name its folder, or a CSV that lists images")
    return _from_table(read_table(path, ALIASES, "file"))


def _from_folder(root: Path) -> PatchSet:
    rows = sorted(_walk(root), key=lambda row: PurePosixPath(row.name).parts)
    if not rows:
        known = " ".join(sorted(EXTENSIONS))
        raise ManifestError(f"{root}: no images found; searched for {known}")
    tables = sorted(file.name for file in root.glob("*.csv"))
    if tables:
        log.warning("%s is not read; to use it, name it instead of the folder", tables[0])
    return PatchSet(str(root), tuple(rows))


def _walk(root: Path) -> Iterator[Row]:
    for folder, subfolders, names in os.walk(root, followlinks=True):
        lower = {name.lower() for name in subfolders}
        not_images = MASK_FOLDERS | (LABEL_FOLDERS if lower & IMAGE_FOLDERS else frozenset())
        subfolders[:] = sorted(
            s for s in subfolders if s.lower() not in not_images and not s.startswith(".")
        )
        masks = _masks(Path(folder))
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix.lower() in EXTENSIONS and not name.startswith("."):
                relative = path.relative_to(root).as_posix()
                split = split_of(PurePosixPath(relative).parent.parts)
                values = {"split": split} if split else {}
                yield Row(str(path), relative, relative, values, masks.get(path.stem))


def _masks(folder: Path) -> dict[str, str]:
    """Masks of a folder's images by stem: in a folder `mask` beside or below it."""
    places = [folder / name for name in sorted(MASK_FOLDERS)]
    if folder.name.lower() in IMAGE_FOLDERS:
        places += [folder.parent / name for name in sorted(MASK_FOLDERS | LABEL_FOLDERS)]
    files = [file for place in places if place.is_dir() for file in sorted(place.iterdir())]
    return {file.stem: str(file) for file in files if file.suffix.lower() in EXTENSIONS}


def _from_table(table: Table) -> PatchSet:
    rows, problems = [], []
    first: dict[str, int] = {}
    for line in table.lines:
        values = dict(line.values)
        file, mask = values.pop("file"), values.pop("mask", None)
        path = table.file(file)
        before = first.setdefault(path, line.number)
        if before != line.number:
            problems.append(f"{table.path.name} lines {before} and {line.number} both name {file}")
        name = Path(os.path.relpath(path, table.path.parent)).as_posix()
        where = f"{table.where(line.number)}: {file}"
        rows.append(Row(path, name, where, values, None if mask is None else table.file(mask)))
    raise_problems(problems)
    return PatchSet(str(table.path), tuple(rows), table.columns)


def informative_folders(row: Row) -> tuple[str, ...]:
    """Give a row's folders without those that are a split."""
    return tuple(folder for folder in row.folders if folder.lower() not in SPLITS)
