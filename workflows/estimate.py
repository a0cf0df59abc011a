"""How long a plan will take: patches times what one core was measured to do.

The rates are those of one core of a small 2-core machine on H&E slides (docs/performance.md has the
measurements); a disk or a network that is slower than the cores is not in them.
"""

from dataclasses import dataclass

READ_MPX_PER_S = {"jpeg": 134.0, "jpeg2k": 15.5, "region": 22.0}
"""Source megapixels per second: JPEG tiles, JPEG 2000 tiles, and OpenSlide's regions."""

WRITE_MPX_PER_S = {"jpeg": 157.0, "lossless": 34.0, "raw": 408.0}
"""Patch megapixels per second that are encoded and written."""

COPIES_PER_S = 26_000.0
"""Compressed tiles per second that are copied as they are."""

START_S = 2.2
"""Starting the workers, and the files beside the archive."""

PLAN_S = 0.45
"""Planning one slide, on one core."""

HOW = (
    "time is estimated from rates measured per core of a small 2-core machine; "
    "a slow disk or network takes longer"
)


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done for one slide.

    Attributes:
        patches: how many.
        patch_px: their side.
        reduction: source pixels per patch pixel, over the area.
        source: `jpeg`, `jpeg2k` or `region`: what pixels are read from.
        encoding: label of the encoding, such as `jpeg:95`.
    """

    patches: int
    patch_px: int
    reduction: float
    source: str
    encoding: str


def seconds_of(work: Work) -> float:
    """Core seconds for planning and cutting one slide."""
    if work.encoding == "passthrough":
        return PLAN_S + work.patches / COPIES_PER_S
    written = work.patches * work.patch_px**2 / 1e6
    kind = work.encoding.split(":")[0]
    reading = written * work.reduction / READ_MPX_PER_S[work.source]
    return PLAN_S + reading + written / WRITE_MPX_PER_S.get(kind, 100.0)
