"""What is said of slides and archives."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.units import duration, plural, size
from workflows.views.common import Document, new_table, plain

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def tile(document: Document) -> "Iterator[RenderableType]":
    """What was cut, what failed, and where it is."""
    if "plans" in document:
        yield from plan(document)
        return
    slides = document["slides"]
    counts = ", ".join(f"{count:,} {state}" for state, count in slides.items() if count)
    yield f"slides   {counts or 'none'}"
    yield (
        f"patches  {document['patches']:,} in {duration(document['seconds'])}: "
        f"{document['patches_per_s']:,.0f} patches/s, {document['mb_per_s']:,.1f} MB/s"
    )
    yield f"archive  {document['archive']} (+ {size(document['bytes'])})"
    for kind in ("report", "failures"):
        if document["files"][kind]:
            yield f"{kind:<8} {document['files'][kind]}"
    for outcome in document["outcomes"]:
        if outcome["state"] == "failed":
            yield plain(f"failed   {outcome['slide_id']}: {outcome['error']}")


def plan(document: Document) -> "Iterator[RenderableType]":
    """One row per slide, then the sum."""
    table = new_table(
        "slide", "um/px", "level", "#grid", "#kept", "encoding", "#size", "#files", ""
    )
    for known in document["plans"]:
        table.add_row(*_plan_row(known))
    yield table
    for known in document["plans"]:
        if known.get("error"):
            yield plain(f"{known['state']:<9}{known['slide_id']}: {known['error']}")
    total = document["total"]
    yield (
        f"\n{total['to_cut']:,} of {plural(total['slides'], 'slide')} to cut: "
        f"{plural(total['patches'], 'patch')}, "
        f"about {size(total['bytes'])} in {total['files']:,} files, "
        f"about {duration(total['seconds'])} with {plural(total['workers'], 'worker')}"
    )
    yield f"({total['how']})"


def _plan_row(known: Document) -> "list[RenderableType]":
    name = plain(known["slide_id"])
    if known["state"] == "failed":
        return [name, *[""] * 7, "fails"]
    x, y = known["reduction"]
    level = str(known["level"]) if x == y == 1 else f"{known['level']} / {x:.4g}"
    effective = " x ".join(dict.fromkeys(f"{value:.4g}" for value in known["mpp_effective"]))
    encoding = known["encoding"]
    return [
        name,
        f"{effective}\n[dim]{known['mpp']['x']:.4g} by {_origin(known['mpp']['origin'])}[/]",
        level,
        f"{known['n_grid']:,}",
        f"{known['n_patches']:,}",
        f"{encoding['label']}\n[dim]{encoding['reason']}[/]",
        size(known["bytes"]),
        f"{known['files']:,}",
        "" if known["state"] == "new" else known["state"],
    ]


def _origin(origin: str) -> str:
    return origin.split(",")[0].strip()


def info(document: Document) -> "Iterator[RenderableType]":
    """What the slide is, its levels, and what can be copied from it."""
    yield plain(document["path"])
    facts = new_table("", "")
    facts.show_header = False
    facts.add_row("format", f"{document['vendor']}, reader {document['reader']}")
    facts.add_row("size", f"{document['width']:,} x {document['height']:,} px")
    mpp = document["mpp"]
    told = f"{mpp['x']:.6g} x {mpp['y']:.6g} um/px, from {mpp['origin']}" if mpp else "not known"
    facts.add_row("resolution", told)
    facts.add_row("objective", f"{document['objective']:g} x" if document["objective"] else "-")
    facts.add_row("bounds", "x {}, y {}, {} x {} px".format(*document["bounds"]))
    facts.add_row("colour profile", "ICC, used with --icc" if document["icc_profile"] else "none")
    facts.add_row("other images", ", ".join(document["associated"]) or "none")
    yield facts
    yield _levels(document["levels"])
    yield plain(_passthrough(document))


def _levels(levels: list[Document]) -> "Table":
    table = new_table("level", "#width", "#height", "#downsample", "um/px", "native tiles")
    for level in levels:
        native, mpp = level["native"], level["mpp"]
        told = "-"
        if native:
            told = "{} x {} px, {}, ".format(*native["tile"], native["codec"])
            told += "{} x {}".format(*native["grid"])
        table.add_row(
            str(level["level"]),
            f"{level['width']:,}",
            f"{level['height']:,}",
            f"{level['downsample']:.6g}",
            " x ".join(dict.fromkeys(f"{value:.4g}" for value in mpp)) if mpp else "-",
            told,
        )
    return table


def _passthrough(document: Document) -> str:
    """Say how to cut so that compressed tiles are copied."""
    if not document["mpp"]:
        return str(document["mpp_problem"])
    for level in document["levels"]:
        if level["native"] and level["native"]["passthrough"]:
            mpp = sum(level["mpp"]) / 2
            how = f"--mpp {mpp:.4g} --patch-size {level['native']['tile'][0]}"
            return f"Tiles are copied bit for bit with: {how}"
    return "No level has tiles that can be copied; patches are encoded anew."


def _known(mpp: float | None) -> str:
    return "-" if mpp is None else f"{mpp:.4g}"


def listing(document: Document) -> "Iterator[RenderableType]":
    """One row per slide, then the sum."""
    table = new_table(
        "slide", "#patches", "#unreadable", "#px", "um/px", "encoding", "#size", "labels"
    )
    for row in document["slides"]:
        labels = [row[name] for name in ("patient", "site", "label", "split") if row[name]]
        table.add_row(
            plain(row["slide_id"]),
            f"{row['n_patches']:,}",
            f"{row['n_unreadable']:,}",
            str(row["patch_size_px"] or "-"),
            _known(row["mpp_effective_x"]),
            row["encoding"],
            size(row["bytes"]),
            plain(", ".join(labels)),
        )
    yield table
    total = document["total"]
    counts = [plural(total["slides"], "slide"), plural(total["patches"], "patch")]
    counts.append(size(total["bytes"]))
    if total["unreadable"]:
        counts.append(f"{total['unreadable']:,} unreadable")
    yield ", ".join(counts)


def verify(document: Document) -> "Iterator[RenderableType]":
    """One row per slide, then every problem."""
    table = new_table("slide", "#patches", "state")
    for slide in document["slides"]:
        table.add_row(plain(slide["slide_id"]), f"{slide['patches']:,}", slide["state"])
    yield table
    for problem in document["problems"][:MOST_PROBLEMS]:
        where = "/".join(filter(None, (problem["slide_id"], problem["key"])))
        yield plain(f"{where}: {problem['sentence']}")
    more = len(document["problems"]) - MOST_PROBLEMS
    if more > 0:
        yield f"… and {more:,} more; --json lists all"
    bad = sum(slide["state"] == "damaged" for slide in document["slides"])
    compared = ", and equal to its slide" if document["source"] else ""
    good = f"every slide is as it was written{compared}"
    if not document["slides"]:
        good = "the archive holds no slide"
    yield f"damaged: {bad:,} of {plural(len(document['slides']), 'slide')}" if bad else good


MOST_PROBLEMS = 50
"""Problems that a table shows; a broken disk makes millions."""


def report(document: Document) -> "Iterator[RenderableType]":
    """Where the page is."""
    yield plain(document["report"])


def doctor(document: Document) -> "Iterator[RenderableType]":
    """One row per check, then what to do."""
    marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "fail": "[bold red]fail[/]"}
    table = new_table("", "check", "found")
    for check in document["checks"]:
        table.add_row(marks[check["state"]], check["name"], plain(check["found"]))
    yield table
    for check in document["checks"]:
        if check["advice"]:
            yield plain(f"{check['name']}: {check['advice']}")


def version(document: Document) -> "Iterator[RenderableType]":
    """One line per package."""
    yield f"microtome {document['microtome']} (archive format {document['archive_format']})"
    yield f"python {document['python']}, {document['system']}"
    for name, found in document["packages"].items():
        yield f"  {name:<17} {found or '-'}"
