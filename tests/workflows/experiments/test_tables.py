import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from workflows.experiments import label_tables
from workflows.experiments.outputs import csv_text
from workflows.experiments.pretext import training_seconds
from workflows.experiments.words import deviating, differing, is_sure, percent, ranged, spanning
from workflows.reporting.experiments import Figure, Page, Table, markdown, render_experiment
from workflows.reporting.forest import LEFT, RIGHT, WIDTH, Dot, forest, forest_height
from workflows.reporting.label_curves import swatch
from workflows.reporting.standalone import standalone

SCORE = {"value": 0.51249, "sd": 0.0312, "low": 0.44, "high": 0.59, "seeds": 3}


def test_numbers_are_written_with_what_is_known_of_them() -> None:
    assert deviating(SCORE) == "0.512 ± 0.031"
    assert deviating(SCORE, 1, 100) == "51.2 ± 3.1"
    assert deviating(SCORE | {"sd": None}) == "0.512"
    assert deviating(None) == "-"
    assert spanning(SCORE) == "0.512 (0.440 to 0.590) ± 0.031"
    assert spanning(SCORE | {"low": None}) == "0.512 ± 0.031"
    assert percent(0.05) == "5 %"
    assert (ranged([59, 73, 61]), ranged([1200])) == ("59 to 73", "1,200")


@pytest.mark.parametrize(
    ("low", "high", "sure"), [(0.01, 0.2, True), (-0.2, -0.01, True), (-0.1, 0.2, False)]
)
def test_a_difference_stands_out_where_its_interval_holds_no_zero(
    low: float, high: float, sure: bool
) -> None:
    found = {"difference": {"value": (low + high) / 2, "low": low, "high": high}, "sd": 0.02}
    assert is_sure(found) is sure
    assert differing(found) == f"{(low + high) / 2:+.3f} ({low:+.3f} to {high:+.3f}) ± 0.020"


def _line(method: str, share: float, seeds: list[int], loss: float, accuracy: float) -> dict:
    scores = {"loss": (loss, 0.1), "accuracy": (accuracy, 0.02)}
    found = {name: {**SCORE, "value": value, "sd": sd} for name, (value, sd) in scores.items()}
    found |= {"balanced_accuracy": SCORE, "macro_auroc": None}
    known = {"method": method, "fraction": share, "seeds": seeds, "scores": found if seeds else {}}
    return known | {"train": {"patches": [60, 70], "patients": [10]}, "untaught": []}


DOCUMENT = {
    "methods": ["supervised", "simclr"],
    "fractions": [0.05, 1.0],
    "seeds": [0, 1],
    "settings": [
        _line("supervised", 0.05, [0, 1], 1.5951, 0.671),
        _line("supervised", 1.0, [0], 0.3376, 0.8896),
        _line("simclr", 0.05, [], 0, 0),
    ],
    "comparisons": [],
    "split": {"test": {"patches": 371, "patients": 58}},
    "most_frequent": {
        "class": "a",
        "accuracy": 0.4,
        "balanced_accuracy": 0.5,
        "macro_auroc": 0.5,
    },
    "leaky": [],
}


def test_the_papers_table_has_methods_in_rows_and_shares_in_columns() -> None:
    paper, balanced, _, _ = label_tables.main_tables(DOCUMENT)
    assert list(paper.head) == ["", "5 %", "100 %"]
    assert paper.rows == [
        [
            "supervised",
            "1.595 ± 0.100 / 67.1 ± 2.0",
            "0.338 ± 0.100 / 89.0 ± 2.0 (1 of 2 seeds)",
        ],
        ["simclr", "failed", "-"],
    ]
    assert balanced.rows[0][1] == "0.512 (0.440 to 0.590) ± 0.031"


def test_scores_that_are_not_defined_are_empty_in_the_csv_and_left_out_of_the_plot() -> None:
    rows = csv_text(label_tables.csv_rows(DOCUMENT)).splitlines()
    assert rows[0] == "method,fraction,metric,seeds,mean,sd,low,high,leaky"
    assert rows[1] == "supervised,0.05,loss,2,1.5951,0.1,0.44,0.59,False"
    assert rows[4] == "supervised,0.05,macro_auroc,2,,,,,False"
    assert len(rows) == 1 + 2 * 4
    drawings = dict(label_tables.figure(DOCUMENT).drawings)
    assert drawings["Accuracy"].count("<polyline") == 1
    assert drawings["Macro AUROC"].count("<polyline") == 0


TABLE = Table("Scores", "What they are.", ["", "a|b"], [["x", "1"], ["y", "2"]], 1, {(1, 1)})  # type: ignore[arg-type]


def test_a_table_as_markdown() -> None:
    assert markdown(TABLE) == (
        "### Scores\n\nWhat they are.\n\n|  | a\\|b |\n| --- | ---: |\n| x | 1 |\n| y | **2** |\n"
    )


def _page(text: str) -> Page:
    table = Table(text, text, [text, text], [[text, text]])
    figure = Figure(text, text, [(text, swatch(0))], [(text, Markup("<svg></svg>"))])
    return Page(text, text, [text], [(text, text, text)], [figure], [table], {text: text})


def test_a_page_asks_the_network_for_nothing_and_names_cannot_smuggle_markup_in() -> None:
    evil = "<script src='https://x'>"
    page = render_experiment(_page(evil), {"archive": evil, "seeds": [1, 2]}, "1")
    assert "<script" not in page
    assert not re.search(r"<(link|img|iframe|form)|@import|url\(", page)
    assert page.count("&lt;script") > 10
    assert '<td class="path">1, 2</td>' in page


def test_a_plot_is_an_svg_file_of_its_own() -> None:
    drawn = forest([Dot("a < b", 0, 0.5, 0.4, 0.6)], title="t & u", below="x")
    figure = Figure("Scores & more", "", [("less < data", swatch(1))], [("kNN", drawn)] * 2)
    root = ElementTree.fromstring(standalone(figure, (WIDTH, forest_height(1))))
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "less < data" in texts
    assert texts.count("a < b") == 2
    assert texts.count("kNN") == 2
    assert float(root.attrib["width"]) >= 2 * WIDTH


def test_a_forest_places_values_intervals_and_the_level() -> None:
    rows = [Dot("first", 0, 0.25, 0.2, 0.4), Dot("nothing", 1, None)]
    drawn = forest(rows, title="t", below="x", level=0.25)
    room = WIDTH - LEFT - RIGHT  # the axis is .2 to .4
    dot = re.search(r'transform="translate\(([\d.]+) ', drawn)
    assert dot is not None
    assert float(dot[1]) == pytest.approx(LEFT + room * 0.25, abs=0.1)
    assert f'x1="{float(LEFT)}" x2="{float(WIDTH - RIGHT)}"' in drawn
    assert drawn.count("<path") == 1
    assert drawn.count('class="chance"') == 1
    assert ">nothing<" in drawn


def test_seconds_of_training_are_those_of_all_steps_also_after_a_break(
    tmp_path: Path,
) -> None:
    lines = [
        '{"kind": "start", "step": 0}',
        '{"kind": "step", "step": 10, "patches_per_s": 64.0}',
        '{"kind": "epoch", "step": 12}',
        '{"kind": "start", "step": 12}',
        '{"kind": "step", "step": 15, "patches_per_s": 32.0}',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    # 10 steps of 32 at 64/s are 5 s; 5 steps of 32 at 32/s are 5 s
    assert training_seconds(tmp_path, 32) == 10.0
