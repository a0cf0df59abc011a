import json
import logging
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from workflows.reporting.training import _draw, draw_curves, read_metrics, render_training
from workflows.reporting.training_curves import Curve, Panel

BLUE = (0, 114, 178)


def _lines(steps: int = 40) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = [{"kind": "start", "step": 0, "steps": steps}]
    for step in range(1, steps + 1):
        told.append(
            {
                "kind": "step",
                "step": step,
                "epoch": step // 20,
                "loss": 3 / step,
                "lr": 0.1,
                "grad_norm": None,
                "patches_per_s": 800.0 + step,
                "waiting": 0.02,
                "metrics": {"mean_s": 2.5},
            }
        )
    told.append(
        {
            "kind": "epoch",
            "step": steps,
            "epoch": 0,
            "loss": 0.12345,
            "seconds": 63.0,
            "std_of_best": 0.876,
            "effective_rank": 41.26,
            "knn": 0.654,
        }
    )
    return told


def _document(**changes: Any) -> dict[str, Any]:
    return {
        "out": "/runs/one",
        "config": {"method": "srcl", "archives": ["a.zarr", "b.zarr"], "stain": 0.05, "d4": True},
        "finished": True,
        "step": 40,
        "steps": 40,
        "seconds": 75.0,
        "card": {"name": "swin-srcl", "data": ["random:0"], "versions": {"torch": "9.8"}},
        "data": {"patches": 51200, "slides": 12, "patients": 1},
        "training": {"batch": 1024, "epochs": 2, "clip": None},
        "device": "cpu",
        "processes": 2,
        "hardware": {"cores": 2},
        "notes": ["the batch is 96"],
        **changes,
    }


class _Page(HTMLParser):
    """Collects tags, what would be loaded, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]

    def handle_data(self, data: str) -> None:
        self.words += f" {data.strip()}"


def test_lines_are_read_without_the_damaged_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = {"kind": "step", "step": 1, "loss": None}
    rows = [json.dumps(good), "[1]", "{}", json.dumps(good), '{"kind": "st']
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(rows))
    with caplog.at_level(logging.WARNING):
        assert read_metrics(path) == [good, good]
    assert [record.args[0] for record in caplog.records] == [2, 3, 5]
    assert read_metrics(tmp_path / "missing") == []


def test_the_picture_shows_the_curves(tmp_path: Path) -> None:
    draw_curves(_lines(), tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    blue = (abs(pixels - BLUE) < 20).all(axis=2)
    wide = pixels.shape[1] // 3
    assert all(blue[:, i * wide : (i + 1) * wide].sum() > 100 for i in range(3))
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_a_run_without_lines_has_a_picture(tmp_path: Path) -> None:
    draw_curves([], tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert min(picture.size) > 200


def test_a_panel_is_drawn_with_its_values_and_its_level() -> None:
    points = [(1.0, 3.0), (2.0, 2.0), (5.0, 4.0)]
    axes = Figure().add_subplot()
    _draw(axes, Panel("Heading", (Curve(points, faint=True), Curve(points[:2])), (2.0, 4.5), 2.5))
    level, faint, full = axes.get_lines()
    assert set(level.get_ydata()) == {2.5}
    assert faint.get_xydata().tolist() == [list(point) for point in points]
    assert full.get_xydata().tolist() == [list(point) for point in points[:2]]
    assert faint.get_alpha() < 1
    assert axes.get_ylim() == (2.0, 4.5)


BARE = """
import sys, pathlib
import workflows.reporting.training as module
early = {"matplotlib", "torch"} & set(sys.modules)
module.draw_curves([{"kind": "step", "step": 1, "loss": 1.0}], pathlib.Path(sys.argv[1]))
late = {"matplotlib.pyplot", "torch"} & set(sys.modules)
sys.exit(f"{early} {late}" if early or late else 0)
"""


def test_nothing_heavy_is_imported_early_and_pyplot_never(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", BARE, tmp_path / "c.png"], check=True, timeout=100)


def test_the_page_tells_of_the_run() -> None:
    words = _Page(render_training(_document(), _lines())).words
    for text in (
        "Training of swin-srcl",
        "/runs/one",
        "the batch is 96",
        "51,200 of 12 slides, 1 patient",
        "40 of 40, batch 1,024, 2 epochs",
        "0.123 of the last epoch",
        "0.654 balanced accuracy",
        "0.876",
        "820 waiting for data 2.0 % of the time",
        "1 min 15 s cpu",
        "41.3",
        "1 min 3 s",
        "Mean s",
        "began",
    ):
        assert text in words


def test_settings_are_written_for_people() -> None:
    page = render_training(_document(), _lines())
    rows = dict(re.findall(r'<th scope="row">(.*?)</th><td class="path">(.*?)</td>', page))
    expected = {
        "archives": "a.zarr, b.zarr",
        "stain": "0.05",
        "d4": "yes",
        "clip": "–",  # noqa: RUF001 - a dash
        "versions": "torch 9.8",
        "processes": "2",
        "cores": "2",
    }
    assert expected.items() <= rows.items()


def test_the_page_asks_the_network_for_nothing_and_its_drawings_are_whole() -> None:
    page = render_training(_document(), _lines())
    parsed = _Page(page)
    assert not parsed.links
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(parsed.tags)
    assert not re.search(r"https?://|@import|url\(", page)
    assert "default-src 'none'" in page
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 8
    assert all(ElementTree.fromstring(drawing).find("title") is not None for drawing in drawings)


def test_names_cannot_smuggle_markup_in() -> None:
    evil = "<script>alert(1)</script>"
    line = {"kind": "step", "step": 1, "loss": 1.0, "metrics": {evil: 1.0}}
    note = {"kind": "note", "step": 1, "text": evil}
    document = _document(out=evil, card={"name": evil}, notes=[evil], config={evil: [evil]})
    page = render_training(document, [line, note])
    assert "<script" not in page.lower()
    assert page.count("&lt;script&gt;") >= 6


def test_what_was_said_twice_is_shown_once_at_the_top() -> None:
    notes = [{"kind": "note", "step": step, "text": "the batch is 96"} for step in (0, 20)]
    page = render_training(_document(), [*notes, {"kind": "start", "step": 20}])
    assert page.count('<p class="note">the batch is 96</p>') == 1
    assert "went on from a state" in page


def test_an_unfinished_run_with_little_to_tell_has_a_page() -> None:
    page = render_training({"config": {"method": "simclr"}, "finished": False}, [])
    assert "Training: simclr" in page
    assert "Not finished." in page
    assert "No step was told of." in page


def test_nulls_leave_gaps_and_no_error() -> None:
    nothing = dict.fromkeys(("loss", "std_of_best", "effective_rank", "knn", "seconds"))
    lines = [
        {"kind": "step", "step": 1, "epoch": 0, "loss": None, "waiting": None, "metrics": {}},
        {"kind": "epoch", "step": 1, "epoch": 0, **nothing},
        {"kind": "epoch", "step": 2, "epoch": 1, "loss": 1.0},
    ]
    assert "2 epochs" in render_training(_document(card=None), lines)


def test_a_long_run_makes_no_large_page() -> None:
    assert len(render_training(_document(), _lines(20_000))) < 300_000
