"""Maps that need no pixels: slide after slide of an archive, and what came of each."""

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from workflows.config import nearest
from workflows.errors import UsageError
from workflows.mapping.places import refuse_for_archives
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.progress import ProgressCallback, Update

if TYPE_CHECKING:
    from tiling.store import Archive, PatchStore
    from workflows.mapping.config import MapConfig

STATES = ("done", "skipped", "failed")


def open_archive(config: "MapConfig") -> "Archive":
    """Open the one archive that is asked about.

    Raises:
        UsageError: something else is asked about, or options have no effect.
        StoreError: it is no archive.
    """
    from tiling.store import Archive

    if len(config.slides) != 1:
        given = ", ".join(config.slides) or "a manifest"
        raise UsageError(f"maps of patches are made of one archive, got {given}")
    refuse_for_archives(config)
    return Archive.open(config.slides[0])


def slide_names(
    config: "MapConfig", archive: "Archive", among: Collection[str] | None = None
) -> list[str]:
    """Choose the slides that are asked for.

    Args:
        config: what is asked for.
        archive: that holds them.
        among: IDs that are meant; None for all that the archive holds.

    Raises:
        UsageError: there is none.
    """
    names = [name for name in archive.slide_ids() if among is None or name in among]
    if config.slide is not None:
        if config.slide not in names:
            hint = nearest(config.slide, names)
            raise UsageError(f"{archive.location} holds no slide {config.slide!r}; {hint}")
        names = [config.slide]
    if config.split is not None:
        splits = {store.slide_id: _split(store) for store in archive.sound_stores(names)}
        names = [name for name, split in splits.items() if split == config.split]
        if not names:
            known = ", ".join(sorted(set(splits.values()) - {""})) or "none"
            raise UsageError(f"no slide is of the split {config.split!r}; there are: {known}")
    if not names:
        raise UsageError(f"{archive.location} holds no slide")
    return names


def _split(store: "PatchStore") -> str:
    return str((store.attributes.get("labels") or {}).get("split") or "")


def each_slide(
    config: "MapConfig",
    names: list[str],
    progress: ProgressCallback,
    work: Callable[[str], dict[str, Any]],
    name: str,
) -> Outcome:
    """Do slide after slide; one that fails is recorded, and the others go on.

    Args:
        config: what is asked for.
        names: of the slides.
        progress: is told after each.
        work: gives what came of a slide: its `state`, and more.
        name: of the map.
    """
    from models.errors import ModelError
    from tiling.errors import TilingError

    started, outcomes = time.monotonic(), []
    for slide_id in names:
        known: dict[str, Any] = {"slide_id": slide_id, "error": "", "files": {}}
        try:
            known |= work(slide_id)
        except (ModelError, TilingError, OSError) as err:
            known |= {"state": "failed", "error": str(err) or type(err).__name__}
        outcomes.append(known)
        bad = sum(1 for one in outcomes if one["state"] == "failed")
        elapsed = time.monotonic() - started
        progress(Update(len(names), len(outcomes), bad, elapsed_s=elapsed))
    states = [one["state"] for one in outcomes]
    document = {
        "archive": config.slides[0],
        "map": name,
        "out": config.out,
        "config": config.model_dump(mode="json"),
        "slides": {state: states.count(state) for state in STATES},
        "outcomes": outcomes,
        "seconds": round(time.monotonic() - started, 3),
    }
    return Outcome(document, SOME_FAILED if "failed" in states else ALL_GOOD)
