"""What the headers of a slide's images say: whether bytes are kept, at which size, at which mpp."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tiling.encoding import JPEG, PNG, Encoding, parse_encoding
from tiling.errors import DamagedSlideError, PlanError
from tiling.importing.group import Place, Resolution
from tiling.importing.images import ImageError, Probe, probe
from tiling.importing.rows import Row
from tiling.importing.sets import SlideSet

SHOWN = 10
"""Files that one message lists; the rest is counted."""

IMPORTED = "imported"
"""Label of patches whose bytes are those of the files."""


@dataclass(frozen=True)
class PatchOptions:
    """What is asked of an import of patches.

    Attributes:
        patch_px: side to which images are resized; None to take them as they are.
        mpp: microns per pixel of files whose table does not say.
        skip_unreadable: store unreadable images as white with status 2, instead of failing.
    """

    patch_px: int | None = None
    mpp: float | None = None
    skip_unreadable: bool = False


@dataclass(frozen=True)
class Plan:
    """What the headers say.

    Attributes:
        probes: per patch; a sentence where the file cannot be read.
        encoding: of all patches.
        side_px: of a stored patch.
        source_px: width, height of the images; None where they differ.
    """

    probes: tuple[Probe | str, ...]
    encoding: Encoding
    side_px: int
    source_px: tuple[int, int] | None

    @property
    def kept(self) -> bool:
        """Whether the files' bytes are stored."""
        return self.encoding.label == IMPORTED


def plan_slide(slide: SlideSet, options: PatchOptions, place: Place) -> Plan:
    """Read all headers and decide how the slide is stored.

    Raises:
        DamagedSlideError: images cannot be read.
        PlanError: they are not square, or of several sizes.
    """
    probes = tuple(place.pool.map(_probe, slide.rows))
    good = [found for found in probes if isinstance(found, Probe)]
    bad = [
        f"{row.where}: {found}"
        for row, found in zip(slide.rows, probes, strict=True)
        if isinstance(found, str)
    ]
    if bad and (not options.skip_unreadable or not good):
        raise unreadable(slide, bad)
    sizes = {(found.width, found.height) for found in good}
    side = options.patch_px or _side(slide, probes)
    same = sizes == {(side, side)}
    encoding = _choose(good, resized_to=None if same else side)
    return Plan(probes, encoding, side, next(iter(sizes)) if len(sizes) == 1 else None)


def _probe(row: Row) -> Probe | str:
    try:
        return probe(row.path)
    except ImageError as err:
        return str(err)


def unreadable(slide: SlideSet, bad: Sequence[str]) -> DamagedSlideError:
    """Give the error that lists what cannot be read."""
    more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    return DamagedSlideError(
        f"{slide.slide_id}: {len(bad)} of {len(slide.rows)} images cannot be read "
        f"(--skip-unreadable stores them white): {'; '.join(bad[:SHOWN])}{more}"
    )


def _side(slide: SlideSet, probes: Sequence[Probe | str]) -> int:
    """Give the side that all images of a slide have."""
    first: dict[tuple[int, int], Row] = {}
    for row, found in zip(slide.rows, probes, strict=True):
        if isinstance(found, Probe):
            first.setdefault((found.width, found.height), row)
    (width, height), *others = first
    if others or width != height:
        told = [f"{w} x {h} px ({row.where})" for (w, h), row in list(first.items())[:SHOWN]]
        more = f", and {len(first) - SHOWN} more" if len(first) > SHOWN else ""
        raise PlanError(
            f"{slide.slide_id}: images of a slide must be square and of one size, they are "
            f"{', '.join(told)}{more}; resize them with --patch-size"
        )
    return width


def _choose(good: Sequence[Probe], resized_to: int | None) -> Encoding:
    """Keep bytes where one codec takes all of them, else decode."""
    kinds = Counter(found.kind for found in good)
    told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    codecs = {found.codec for found in good}
    if resized_to is not None:
        return lossless(f"resized to {resized_to} px: {told}")
    if codecs not in ({JPEG}, {PNG}):
        return lossless(f"not all images can be kept as they are: {told}")
    (codec,) = codecs
    # libjpeg gives grey of a grey file unless it is asked for RGB, in the public codec too
    grey = codec == JPEG and any("grey" in kind for kind in kinds)
    configuration = (("colorspace_data", "RGB"),) if grey else ()
    return Encoding(codec, configuration, IMPORTED, f"the files' own bytes: {told}")


def lossless(reason: str) -> Encoding:
    """Store decoded pixels; `reason` says why."""
    return parse_encoding("lossless", reason)


def resolution(slide: SlideSet, options: PatchOptions, plan: Plan) -> Resolution:
    """Say what is known of microns per pixel; what is stored may be resized."""
    mpp = slide.mpp or options.mpp
    side = plan.side_px
    footprint = plan.source_px or (side, side)
    if mpp is None:
        none = (None, None)
        return Resolution(none, none, "unknown", footprint)
    if plan.source_px is None:  # each image was resized by another factor
        return Resolution((mpp, mpp), (None, None), "override", footprint)
    width, height = footprint
    effective = (mpp * width / side, mpp * height / side)
    return Resolution((mpp, mpp), effective, "override", footprint)
