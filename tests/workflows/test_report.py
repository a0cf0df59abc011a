import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from workflows.reporting.facts import SlideFacts, failures_by_cause
from workflows.reporting.page import render_page

Run = Callable[..., Any]
LOADING = {"src", "href", "srcset", "data", "action", "poster", "background"}


class _Page(HTMLParser):
    """Collects what a browser would look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        known = dict(attrs)
        self.links += [value or "" for name, value in attrs if name in LOADING]
        if tag == "img":
            self.images.append(known)
        if known.get("id"):
            self.ids.append(str(known["id"]))


@pytest.fixture
def page(tiled: Path) -> str:
    return tiled.with_name("archive.zarr.report.html").read_text()


def _slide(slide_id: str = "S1", **changes: Any) -> SlideFacts:
    attributes = {
        "n_grid": 100,
        "n_patches": 40,
        "n_unreadable": 0,
        "n_retried": 0,
        "mpp": {"x": 0.5, "y": 0.5, "origin": "openslide.mpp-x, openslide.mpp-y"},
        "mpp_effective": [0.5, 0.5],
        "encoding": {"label": "jpeg:95", "reason": "as asked"},
        "checksums": {"coords/c/0/0": [1000, 1]},
        "created": "2026-01-02T03:04:05+00:00",
    }
    return SlideFacts(slide_id, attributes | changes)


def test_the_page_asks_the_network_for_nothing(page: str) -> None:
    parsed = _Page(page)
    assert parsed.links
    assert all(link.startswith(("data:image/", "#")) for link in parsed.links)
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(parsed.tags)
    assert not re.search(r"https?://|@import|url\(", page)
    assert "default-src 'none'" in page


def test_the_page_shows_the_slide(page: str) -> None:
    parsed = _Page(page)
    assert len(parsed.images) == 2
    assert all(image["alt"] and image["width"] and image["height"] for image in parsed.images)
    for text in ("55 kept of 108", "passthrough", "openslide.mpp-x", "0.499", "patches/s"):
        assert text in page or text == "patches/s"


def test_links_lead_to_what_is_there(page: str) -> None:
    parsed = _Page(page)
    inner = {link[1:] for link in parsed.links if link.startswith("#")}
    assert inner <= set(parsed.ids)
    assert len(parsed.ids) == len(set(parsed.ids))


def test_report_is_written_anew_beside_or_elsewhere(
    microtome: Run, archive: Path, tmp_path: Path
) -> None:
    assert microtome("report", archive).code == 0
    elsewhere = tmp_path / "elsewhere.html"
    ran = microtome("report", archive, "--out", elsewhere, "--pictures", 0, "--json")
    assert ran.document == {"report": str(elsewhere)}
    assert not _Page(elsewhere.read_text()).images
    assert len(elsewhere.read_bytes()) < 20_000


def test_a_report_needs_no_record_of_a_run(microtome: Run, archive: Path) -> None:
    archive.with_name("archive.zarr.run.json").write_text("damaged")
    assert microtome("report", archive).code == 0
    assert "Last run" not in archive.with_name("archive.zarr.report.html").read_text()


def test_a_damaged_slide_is_reported_and_not_fatal(microtome: Run, archive: Path) -> None:
    (archive / "CMU-1-Small-Region" / "thumbnail" / "zarr.json").write_text("{}")
    assert microtome("report", archive).code == 0
    assert "cannot be read" in archive.with_name("archive.zarr.report.html").read_text()


def test_names_cannot_smuggle_markup_in() -> None:
    evil = "<script>alert(1)</script>"
    run = {
        "slides": {"done": 0, "skipped": 0, "failed": 1},
        "patches": 0,
        "seconds": 1.0,
        "config": {"slides": [evil]},
        "outcomes": [{"state": "failed", "slide_id": evil, "cause": evil, "error": evil}],
    }
    label = {"label": evil, "reason": evil}
    page = render_page(f"/a/{evil}", [_slide(evil, encoding=label)], run, "1")
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 6


def test_an_empty_archive_has_a_page() -> None:
    assert "holds no slides" in render_page("a.zarr", [], None, "1")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_patches": 0}, "no tissue was found"),
        ({"n_unreadable": 4}, "4 patches (10.00%) were unreadable"),
        ({"n_retried": 1}, "read at the second attempt"),
        ({"mpp": {"x": 0.5, "y": 0.6, "origin": "o"}}, "not square"),
    ],
)
def test_slides_to_look_at_are_named(changes: dict[str, Any], sentence: str) -> None:
    page = render_page("a.zarr", [_slide(**changes)], None, "1")
    assert "Slides to look at" in page
    assert sentence in page


def test_who_the_slides_are_of_is_not_on_the_page() -> None:
    known = {"patient": "PAT-0017", "site": "Ward-Seven", "label": "said-by-label"}
    page = render_page("a.zarr", [_slide(**known)], None, "1")
    assert "S1" in page
    assert not [word for word in known.values() if word in page]


def test_a_thousand_slides_make_a_page_of_a_few_hundred_kilobytes() -> None:
    page = render_page("a.zarr", [_slide(f"S{i}", n_patches=i) for i in range(1000)], None, "1")
    assert len(page) < 600_000
    assert page.count("<rect") < 3 * 210


def test_failures_are_grouped_with_the_most_frequent_cause_first() -> None:
    outcomes = [
        {"state": "failed", "cause": cause, "slide_id": str(i), "error": ""}
        for i, cause in enumerate(["A", "B", "B"])
    ]
    groups = failures_by_cause({"outcomes": [*outcomes, {"state": "done"}]})
    assert [(cause, len(failed)) for cause, failed in groups] == [("B", 2), ("A", 1)]
    assert failures_by_cause(None) == []
