"""From what a person typed (files, folders, globs, URLs) to the rows of a run, without a manifest.

Looks at names only, except for DICOM, where the files of one slide are known by their series UID.
"""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tiling.manifest import ManifestRow, clashes, raise_problems
from tiling.slide_ids import safe_slide_id, slide_id_from_path

SLIDE_EXTENSIONS = frozenset(
    {
        ".svs",
        ".ndpi",
        ".mrxs",
        ".scn",
        ".bif",
        ".vms",
        ".vmu",
        ".svslide",
        ".tif",
        ".tiff",
        ".btf",
        ".dcm",
    }
)
"""What a folder is searched for; PNG and JPEG files are taken only when named or globbed."""


class Found(NamedTuple):
    """A slide and the id that its place gives it."""

    path: str
    slide_id: str


def collect_slides(inputs: Sequence[str | Path]) -> tuple[ManifestRow, ...]:
    """Return one row per slide, input after input, each sorted by path.

    * a file: itself, whatever its extension; its id is its name;
    * a folder: every slide below it, hidden files left out; ids are paths relative to the folder;
    * a glob (``slides/**/*.svs``, quoted from the shell): ids are relative to the part before
      the first ``*``;
    * a URL (``s3://bucket/slides/``): a file where the name has a slide's extension, else all
      below it.

    The data folder of an MRXS slide is not searched. The DICOM files of one folder with one
    series UID are one slide, named after the folder when it holds no other series.

    Raises:
        ManifestError: an input does not exist or holds no slide; two slides have one id.
    """
    rows: list[ManifestRow] = []
    problems: list[str] = []
    for item in map(str, inputs):
        try:
            found = sorted(_remote(item) if "://" in item else _local(item))
        except OSError as err:
            problems.append(f"{item}: {err.strerror or err}")
            continue
        if not found:
            known = " ".join(sorted(SLIDE_EXTENSIONS))
            problems.append(f"{item}: no slides found; searched for {known}")
        rows += [ManifestRow(slide_id=slide_id, path=path) for path, slide_id in found]
    raise_problems([*problems, *clashes(rows)])
    return tuple(rows)


def is_slide_name(name: str) -> bool:
    """Tell by its extension whether a file may be a slide; hidden files are none."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SLIDE_EXTENSIONS and not path.name.startswith(".")


def _local(item: str) -> list[Found]:
    path = Path(item).expanduser().absolute()
    if path.is_dir():
        return list(_in_folder(path))
    if path.exists():
        return [Found(str(path), slide_id_from_path(path))]
    if not glob.has_magic(item):
        raise FileNotFoundError("no such file or folder")
    root = _glob_root(str(path))
    matches = [Path(m) for m in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - absolute
    files = [match for match in matches if match.is_file() and not match.name.startswith(".")]
    return _slides_of(files, Path(root))


def _glob_root(pattern: str) -> str:
    """Return the folders of a pattern before its first magic part."""
    parts = pattern.split("/")
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[: min(first, len(parts) - 1)])


def _in_folder(root: Path) -> Iterator[Found]:
    """Yield the slides below a folder, MRXS data folders left out."""
    for folder, subfolders, names in os.walk(root, followlinks=True):
        stems = {Path(name).stem for name in names if name.lower().endswith(".mrxs")}
        subfolders[:] = sorted(s for s in subfolders if s not in stems and not s.startswith("."))
        yield from _slides_of([Path(folder) / n for n in sorted(names) if is_slide_name(n)], root)


def _slides_of(files: list[Path], root: Path) -> list[Found]:
    """Return the slides that files are: each its own, but for DICOM."""
    dicom = [file for file in files if file.suffix.lower() == ".dcm"]
    others = [file for file in files if file.suffix.lower() != ".dcm"]
    slides = [Found(str(file), slide_id_from_path(file, root)) for file in others]
    folders = sorted({file.parent for file in dicom})
    for folder in folders:
        slides += _series_of([file for file in dicom if file.parent == folder], root)
    return slides


def _series_of(files: list[Path], root: Path) -> Iterator[Found]:
    """Yield one slide per DICOM series of a folder: its largest file, so the finest level."""
    series: dict[str, list[Path]] = {}
    for file in sorted(files):
        series.setdefault(_series_uid(file), []).append(file)
    for members in series.values():
        largest = max(members, key=lambda file: file.stat().st_size)
        if len(members) == 1 or len(series) > 1:
            yield Found(str(largest), slide_id_from_path(members[0], root))
        else:
            folder = members[0].parent
            name = folder.name if folder == root else folder.relative_to(root).as_posix()
            yield Found(str(largest), safe_slide_id(name))


def _series_uid(file: Path) -> str:
    """Return the series UID; where it cannot be read the file's name: its reader will say why."""
    import pydicom

    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
        return str(header.SeriesInstanceUID)
    except (OSError, ValueError, AttributeError, pydicom.errors.InvalidDicomError):
        return f"file {file.name}"


def _remote(url: str) -> list[Found]:
    """Return the slides of a URL; only folders and globs cost a request."""
    place = url.partition("://")[2]
    magic = glob.has_magic(place)
    if is_slide_name(place) and not magic:
        return [Found(url, slide_id_from_path(place))]
    import fsspec

    fs, path = fsspec.core.url_to_fs(url)
    if magic:
        names, root = fs.glob(path), _glob_root(path)
    else:
        names, root = fs.find(path), path.rstrip("/")
    slides = [str(name) for name in names if magic or is_slide_name(str(name))]
    return [Found(fs.unstrip_protocol(n), slide_id_from_path(n, root)) for n in slides]
