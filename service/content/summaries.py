"""Archives in a few numbers, without opening every slide at every request."""

import time
from contextlib import suppress
from typing import Any

from service.archives import Archives
from service.content.documents import ArchiveOut
from service.errors import NotFoundError
from service.listing import Memory
from tiling.errors import TilingError
from tiling.store import INDEX

LOOKED_AT = 16
"""Slides of an archive that are asked for their maps and embeddings: runs add them to all."""
FRESH_S = 2.0
"""For so long a summary is taken for what is there."""


class Summaries:
    """Sums archives up; safe to share between threads.

    Args:
        archives: all that there are.
    """

    def __init__(self, archives: Archives) -> None:
        self._archives = archives
        self._known: Memory[ArchiveOut] = Memory(256)

    def of(self, name: str, slide_ids: frozenset[str]) -> ArchiveOut:
        """Sum an archive up.

        Args:
            name: of the archive.
            slide_ids: of its committed slides.
        """
        mark = int(time.monotonic() / FRESH_S), len(slide_ids)
        return self._known.get(name, mark, lambda: self._sum(name, slide_ids))

    def _sum(self, name: str, slide_ids: frozenset[str]) -> ArchiveOut:
        maps: set[str] = set()
        encoders: set[str] = set()
        for slide_id in _spread(sorted(slide_ids)):
            with suppress(TilingError, NotFoundError, OSError):  # taken away, or damaged
                for held in self._archives.holding(slide_id, name):
                    maps.update(held.contents.maps)
                    encoders.update(held.contents.embeddings)
        rows = [row for row in self._rows(name) if row["slide_id"] in slide_ids]
        return ArchiveOut(
            name=name,
            slides=len(slide_ids),
            patches=sum(row["n_patches"] for row in rows),
            patch_sizes_px=sorted({px for row in rows if (px := row["patch_size_px"])}),
            mpps=sorted({round(m, 4) for row in rows if (m := row["mpp_effective_x"])}),
            encoders=sorted(encoders),
            maps=sorted(maps),
        )

    def _rows(self, name: str) -> list[dict[str, Any]]:
        """Read the index of slides; none where the first run has not ended."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = ["slide_id", "n_patches", "patch_size_px", "mpp_effective_x"]
        try:
            data = self._archives.open(name).storage.read(INDEX)
            rows: list[dict[str, Any]] = pq.read_table(
                pa.BufferReader(data), columns=columns
            ).to_pylist()
        except (TilingError, NotFoundError, OSError, pa.ArrowException):
            return []
        return rows


def _spread(slide_ids: list[str]) -> list[str]:
    """Choose a few slides from the first to the last."""
    step = max(1, -(-len(slide_ids) // LOOKED_AT))
    return slide_ids[::step]
