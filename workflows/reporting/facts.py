"""What the report says of each slide, and of all together, as the archive has it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workflows.reporting.pictures import Pictures, draw_pictures

if TYPE_CHECKING:
    from tiling.store import Archive

BINS = 20
"""Bins of tissue shares, 0 to 1."""

READERS = 8
"""Slides that are read at a time: an archive in a bucket answers slowly, but to many at once."""


@dataclass(frozen=True)
class SlideFacts:
    """One committed slide.

    Attributes:
        attributes: of its group.
        tissue_counts: patches per bin of tissue share, `(BINS,)`.
        pictures: None beyond the number that was asked for, or where they cannot be read.
        error: why it could not be read; the rest is empty then.
    """

    slide_id: str
    attributes: dict[str, Any] = field(default_factory=dict)
    tissue_counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    pictures: Pictures | None = None
    error: str = ""

    @property
    def size(self) -> int:
        """Bytes of everything that was written for the slide."""
        return sum(int(entry[0]) for entry in self.attributes["checksums"].values())

    @property
    def notes(self) -> list[str]:
        """What a person should look at."""
        if self.error:
            return [f"cannot be read: {self.error}"]
        return list(_notes(self.attributes))


def _notes(known: dict[str, Any]) -> Iterator[str]:
    if known["n_patches"] == 0:
        yield "no patches: no tissue was found"
    if known["n_unreadable"]:
        share = known["n_unreadable"] / max(known["n_patches"], 1)
        yield f"{known['n_unreadable']:,} patches ({share:.2%}) were unreadable and are white"
    if known["n_retried"]:
        yield f"{known['n_retried']:,} patches were read at the second attempt"
    x, y = known["mpp"]["x"], known["mpp"]["y"]
    if x and y and abs(x / y - 1) > 0.01:  # beyond the error of any scanner's calibration
        yield f"pixels are not square: {x:.4g} x {y:.4g} um"


def read_facts(archive: "Archive", names: Sequence[str], pictures: int) -> list[SlideFacts]:
    """Read slides, the first `pictures` of them with pictures; one that is damaged says so."""
    wanted = [(name, i < pictures) for i, name in enumerate(names)]
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(lambda job: _read(archive, *job), wanted))


def _read(archive: "Archive", name: str, pictured: bool) -> SlideFacts:  # noqa: FBT001 - a job
    from tiling.errors import TilingError

    try:
        store = archive[name]
        counts = np.histogram(store.tissue_fraction, BINS, (0.0, 1.0))[0]
        pictures = draw_pictures(store) if pictured else None
    except (TilingError, OSError, ValueError, KeyError) as err:
        return SlideFacts(name, error=str(err) or type(err).__name__)
    return SlideFacts(name, store.attributes, counts, pictures)


def totals(slides: Sequence[SlideFacts]) -> dict[str, Any]:
    """Sum up the slides that can be read."""
    known = [slide.attributes for slide in slides if not slide.error]
    return {
        "slides": len(slides),
        "patches": sum(one["n_patches"] for one in known),
        "grid": sum(one["n_grid"] for one in known),
        "unreadable": sum(one["n_unreadable"] for one in known),
        "retried": sum(one["n_retried"] for one in known),
        "bytes": sum(slide.size for slide in slides if not slide.error),
        "encodings": Counter(one["encoding"]["label"] for one in known).most_common(),
        "origins": Counter(one["mpp"]["origin"] for one in known).most_common(),
        "created": [min(dates), max(dates)] if (dates := [one["created"] for one in known]) else [],
    }


def failures_by_cause(run: dict[str, Any] | None) -> list[tuple[str, list[dict[str, Any]]]]:
    """Group the failures of a run by the class of the error, the most frequent first."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for outcome in (run or {}).get("outcomes", []):
        if outcome["state"] == "failed":
            groups.setdefault(outcome["cause"], []).append(outcome)
    return sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
