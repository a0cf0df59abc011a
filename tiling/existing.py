"""What the archive already holds of what is asked for: skipped, or a conflict, before any work."""

from collections.abc import Sequence

from tiling.errors import ConflictError, ManifestError
from tiling.request import CutOptions, SlideSource, config_hash
from tiling.store import Archive
from wsi.fingerprint import fingerprint

SHOWN = 5
"""Conflicts that are spelled out; the rest is counted."""


def require_distinct(sources: Sequence[SlideSource]) -> None:
    """Raise `ManifestError` where two slides have the same ID, whatever the case of its letters."""
    seen: dict[str, SlideSource] = {}
    for source in sources:
        key = source.slide_id.casefold()
        if key in seen:
            raise ManifestError(
                f"two slides have the ID {source.slide_id!r}: {seen[key].location} and "
                f"{source.location}; give them IDs in a --manifest"
            )
        seen[key] = source


def why_conflict(archive: Archive, source: SlideSource, options: CutOptions) -> str | None:
    """Say how the committed slide differs from what is asked for; None where it does not."""
    attributes = archive[source.slide_id].attributes
    if attributes["config_hash"] != config_hash(options, source):
        return f"{source.slide_id} was cut with other options"
    now, then = fingerprint(source.location), attributes["source"]
    if (now["size"], now["quick_hash"]) != (then["size"], then["quick_hash"]):
        return f"{source.slide_id} was cut from another file than {source.location}"
    return None


def split_committed(
    archive: Archive, sources: Sequence[SlideSource], options: CutOptions, *, overwrite: bool
) -> tuple[list[SlideSource], list[SlideSource]]:
    """Separate what is to be cut from what is there already.

    Raises:
        ConflictError: committed slides differ from what is asked for, and `overwrite` is off.
    """
    committed = set(archive.slide_ids())
    there = [s for s in sources if s.slide_id in committed]
    reasons = {s.slide_id: why_conflict(archive, s, options) for s in there}
    conflicts = [reason for reason in reasons.values() if reason]
    if conflicts and not overwrite:
        listed = "; ".join(conflicts[:SHOWN])
        more = f"; and {len(conflicts) - SHOWN} more" if len(conflicts) > SHOWN else ""
        raise ConflictError(
            f"{archive.location} holds other versions: {listed}{more}. "
            "Use another --out, or replace them with --overwrite"
        )
    skipped = [s for s in there if reasons[s.slide_id] is None]
    done = {s.slide_id for s in skipped}
    return [s for s in sources if s.slide_id not in done], skipped
