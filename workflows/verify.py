"""`microtome verify`: read what is stored again, and compare it with the slides if asked."""

import time
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from workflows.cluster import cores
from workflows.config import POSITIONAL, WorkflowConfig, nearest
from workflows.errors import UsageError
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.pool import spread
from workflows.progress import ProgressCallback, Update

if TYPE_CHECKING:
    from tiling.store import Archive, PatchStore
    from wsi import Slide


class VerifyConfig(WorkflowConfig):
    """Read every stored byte again: checksums, shard indexes, every patch decoded, counts."""

    archive: Annotated[str, POSITIONAL]
    """Path or URL of an archive."""
    slide: str | None = None
    """Check only the slide of this ID."""
    source: bool = False
    """Also compare every patch with what its slide shows; the slides must be where they were."""
    workers: int | None = Field(default=None, ge=1, le=4096)
    """Processes that check; by default one per core."""


def run(config: VerifyConfig, progress: ProgressCallback) -> Outcome:
    """Check slide after slide.

    Raises:
        StoreError: there is no archive.
        UsageError: there is no slide of the ID asked for.
    """
    from tiling.store import Archive

    archive = Archive.open(config.archive)
    names = _names(archive, config.slide)
    started, slides = time.monotonic(), []
    check = partial(check_slide, config.archive, against_source=config.source)
    for slide in spread(check, names, min(config.workers or cores(), len(names))):
        slides.append(slide)
        bad = sum(1 for known in slides if known["problems"])
        patches = sum(known["patches"] for known in slides)
        elapsed = time.monotonic() - started
        progress(Update(len(names), len(slides), bad, patches, patches, elapsed_s=elapsed))
    slides.sort(key=lambda known: str(known["slide_id"]))
    problems = [problem for slide in slides for problem in slide.pop("problems")]
    document = {
        "archive": config.archive,
        "source": config.source,
        "slides": slides,
        "problems": problems,
        "seconds": round(time.monotonic() - started, 3),
    }
    return Outcome(document, SOME_FAILED if problems else ALL_GOOD)


def _names(archive: "Archive", only: str | None) -> list[str]:
    names = archive.slide_ids()
    if only is None:
        return names
    if only not in names:
        raise UsageError(f"{archive.location} holds no slide {only!r}; {nearest(only, names)}")
    return [only]


def check_slide(archive: str, slide_id: str, *, against_source: bool) -> dict[str, Any]:
    """Check one slide; what is wrong is part of the answer."""
    from tiling.errors import TilingError
    from tiling.importing.compare import compare_files, is_imported
    from tiling.store import Archive
    from tiling.verify import Problem, verify_store
    from wsi import SlideError

    known: dict[str, Any] = {"slide_id": slide_id, "patches": 0}
    try:
        store = Archive.open(archive)[slide_id]
        known["patches"] = len(store)
        if against_source and is_imported(store):
            problems = verify_store(store) or compare_files(store)
        elif against_source:
            with _open_source(store) as slide:
                problems = verify_store(store, slide)
        else:
            problems = verify_store(store)
    except (TilingError, SlideError, OSError, ValueError, KeyError) as err:
        # whatever a damaged document makes of itself: it is what is asked for
        problems = [Problem(slide_id, "", str(err) or type(err).__name__)]
    known["state"] = "damaged" if problems else "good"
    return known | {"problems": [asdict(problem) for problem in problems]}


def _open_source(store: "PatchStore") -> "Slide":
    from tiling.errors import StoreError
    from wsi import open_slide
    from wsi.fingerprint import fingerprint

    known = store.attributes
    location = known["source"]["uri"]
    now = fingerprint(location)
    if (now["size"], now["quick_hash"]) != (known["source"]["size"], known["source"]["quick_hash"]):
        raise StoreError(f"{location} is not the file that this slide was cut from")
    mpp = (known["mpp"]["x"], known["mpp"]["y"])
    return open_slide(location, known["reader"], mpp, icc=known["icc"])
