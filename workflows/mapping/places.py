"""Where maps go: into the archive that is given, or into one that is made of slides first."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.errors import UsageError
from workflows.progress import ProgressCallback

if TYPE_CHECKING:
    from tiling.store import Archive
    from workflows.mapping.config import MapConfig

ARCHIVE = "archive.zarr"
DOCUMENT = "zarr.json"
FOR_SLIDES = ("tissue", "tissue_path", "slide_mpp", "reader")
"""Options of cutting; an archive is cut already."""


@dataclass(frozen=True)
class Cut:
    """What came of cutting.

    Attributes:
        slide_ids: of the slides that are in the archive now; None where nothing was to be cut.
        failed: records of the others.
    """

    slide_ids: tuple[str, ...] | None = None
    failed: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes.

    Attributes:
        archive: path or URL.
        exports: folder of the exports; None where none are asked for.
        is_new: the archive is made of slides that are given.
    """

    archive: str
    exports: Path | None
    is_new: bool

    def cut(
        self, config: "MapConfig", mpp: float, patch_px: int, progress: ProgressCallback
    ) -> Cut:
        """Cut slides into the archive as `microtome tile` does.

        Args:
            config: which slides, and how their tissue is found.
            mpp: microns per pixel.
            patch_px: side of the patches.
            progress: of cutting.
        """
        if not self.is_new:
            return Cut()
        from workflows.tile import TileConfig
        from workflows.tile import run as tile

        outcome = tile(
            TileConfig(
                slides=config.slides,
                manifest=config.manifest,
                out=self.archive,
                mpp=mpp,
                patch_size=patch_px,
                tissue=config.tissue,
                tissue_path=config.tissue_path,
                slide_mpp=config.slide_mpp,
                reader=config.reader,
                pad_edges=True,  # so that slides smaller than a patch are mapped, too
                scheduler=config.scheduler,
                overwrite=config.overwrite,
            ),
            progress,
        )
        outcomes = outcome.document["outcomes"]
        there = tuple(known["slide_id"] for known in outcomes if known["state"] != "failed")
        kept = ("slide_id", "path", "state", "error", "cause")
        empty = {"windows": 0, "bytes": 0, "unreadable": 0, "files": {}}
        failed = [known for known in outcomes if known["state"] == "failed"]
        return Cut(there, [{name: known[name] for name in kept} | empty for known in failed])

    def open(self) -> "Archive":
        """Open the archive.

        Raises:
            StoreError: there is none.
        """
        from tiling.store import Archive

        return Archive.open(self.archive)


def find_place(config: "MapConfig") -> Place:
    """Tell an archive from slides, and decide where everything goes.

    Raises:
        UsageError: --out is missing, or is no folder; options have no effect.
        StoreError: what looks like an archive is none.
    """
    exports = None if config.out is None else _folder(config.out)
    if len(config.slides) == 1 and is_archive(config.slides[0]):
        refuse_for_archives(config)
        place = Place(config.slides[0], exports, is_new=False)
        place.open()
        return place
    if exports is None:
        raise UsageError(
            "--out is needed: the folder for the maps of these slides; their archive will be "
            f"OUT/{ARCHIVE}"
        )
    return Place(str(exports / ARCHIVE), exports, is_new=True)


def refuse_for_archives(config: "MapConfig") -> None:
    """Refuse options that have no effect on an archive.

    Raises:
        UsageError: cutting is told of, or formats that go nowhere.
    """
    if config.out is None and "formats" in config.model_fields_set:
        raise UsageError("--formats: give --out, the folder that files are written to")
    given = config.told(FOR_SLIDES)
    if given:
        raise UsageError(f"{', '.join(given)}: an archive is cut already; give its slides instead")


def is_archive(location: str) -> bool:
    """Whether this names an archive: it ends in .zarr, or is a folder with a Zarr document."""
    path = Path(location).expanduser()
    return location.rstrip("/").endswith(".zarr") or (path / DOCUMENT).is_file()


def _folder(out: str) -> Path:
    path = Path(out).expanduser()
    if "://" in out:
        raise UsageError(f"--out: exports are written to a folder of this machine, got {out}")
    if path.suffix == ".zarr":
        raise UsageError(
            f"--out is the folder for the exports, with the archive inside it, got {out}; give for "
            f"instance {path.with_suffix('')}"
        )
    if path.is_file():
        raise UsageError(f"--out: {out} is a file; give a folder")
    return path
