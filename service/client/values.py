"""What the service answers, as values; what it says beside these fields is kept too."""

import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

ENDED = ("succeeded", "failed", "cancelled")


class Value(BaseModel):
    """An answer; frozen, and open for fields of newer services."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Me(Value):
    """Who asks."""

    name: str
    scopes: list[str]


class Slide(Value):
    """A slide; `Client.slide` gives its levels and so on as further attributes."""

    id: str
    patient: str | None = None
    site: str | None = None
    size_px: tuple[int, int] | None = None
    mpp: float | None = None
    pixels: bool = False
    archives: list[dict[str, Any]] = []


class SlideMap(Value):
    """A tissue map or a heatmap of a slide."""

    name: str
    archive: str
    kind: str
    classes: list[dict[str, Any]] | None = None
    mpp: tuple[float, float] | None = None
    size_px: tuple[int, int] | None = None


class Areas(Value):
    """How much of a slide each class of a tissue map takes."""

    map: str
    archive: str
    area_mm2: float
    classes: list[dict[str, Any]]


class Neighbour(Value):
    """A patch that is like another one; `x`, `y` in level-0 pixels of its slide."""

    slide: str
    patch: int
    x: int
    y: int
    similarity: float


class Progress(Value):
    """How far a job is; `share` from 0 to 1."""

    share: float
    noun: str
    total: int
    done: int
    failed: int
    left_s: float | None = None


class Job(Value):
    """A job."""

    id: str
    workflow: str
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    config: dict[str, Any] = {}
    created: datetime.datetime
    progress: Progress | None = None
    error: str | None = None
    exit_code: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ENDED
