"""`microtome probe` on archives with planted embeddings, whose answer is known."""

import csv
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.encoders import EncoderCard
from tests.models.probe.planted import Planted, cohort, embed_all, plant
from tiling.embeddings import Embeddings
from tiling.store import Archive
from workflows.probing.config import ProbeConfig

Run = Callable[..., Any]
METRICS = ("balanced_accuracy", "accuracy", "macro_auroc")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty patients teach, twelve test; one encoder sees the class, the other only noise."""
    folder = tmp_path_factory.mktemp("probe") / "cohort.zarr"
    archive = plant(folder, [*cohort(20, 5, "train"), *cohort(12, 5, "test", 30)])
    embed_all(archive, "seeing", signal=6.0)
    embed_all(archive, "blind", signal=0.0, seed=1, architecture="timm:vit_tiny_patch16_224")
    return folder


@pytest.fixture(scope="module")
def ran(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one run of both encoders; not to be changed."""
    from workflows import cli

    out = tmp_path_factory.mktemp("runs") / "run"
    words = ["probe", planted, "--encoder", "seeing", "blind", "--out", out]
    assert cli.run([*map(str, words), "--resamples", "200", "--quiet"]) == 0
    return out


def _lines(out: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def test_a_planted_signal_is_found_and_noise_is_not(ran: Path) -> None:
    for line in _lines(ran, "score"):
        area = line["metrics"]["macro_auroc"]
        if line["encoder"] == "seeing":
            assert area["value"] > 0.95
        else:
            assert 0.3 < area["value"] < 0.7


def test_the_run_holds_its_config_scores_and_page(ran: Path) -> None:
    config = ProbeConfig.model_validate_json((ran / "config.json").read_text())
    assert config.encoder == ("seeing", "blind")
    assert config.probe == ("knn", "linear")
    with (ran / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["encoder", "probe", "fraction", "metric", "value", "low", "high"]
    assert len(rows) == 2 * 2 * 4 * 3
    for row in rows:
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
    assert {path.name for path in ran.iterdir()} == {
        "config.json",
        "metrics.jsonl",
        "scores.csv",
        "report.html",
        "probe-seeing.safetensors",
        "probe-blind.safetensors",
    }


def test_shares_of_labels_grow_and_are_told(ran: Path) -> None:
    counts = [
        line["train"]["patches"]
        for line in _lines(ran, "score")
        if (line["encoder"], line["probe"]) == ("seeing", "linear")
    ]
    # of 10 slides per class: max(1, floor(.05 * 10 + .5)), floor(.25 * 10 + .5), 5, 10
    assert counts == [2 * 5, 2 * 3 * 5, 50, 100]


def test_encoders_are_compared_on_the_same_resamples(ran: Path) -> None:
    found = _lines(ran, "comparison")
    assert len(found) == 2 * 4 * 3
    whole = [line for line in found if line["fraction"] == 1 and line["metric"] == "macro_auroc"]
    assert all((line["first"], line["second"]) == ("seeing", "blind") for line in whole)
    assert all(line["difference"]["low"] > 0 and line["p"] < 0.05 for line in whole)


def test_health_and_the_encoders_card_are_kept(ran: Path) -> None:
    seeing, blind = _lines(ran, "health")
    assert seeing["effective_rank"] < blind["effective_rank"] <= 8
    assert EncoderCard.model_validate(blind["card"]).architecture == "timm:vit_tiny_patch16_224"
    rates = {line["encoder"]: line["rate"] for line in _lines(ran, "score") if "rate" in line}
    assert rates == {"seeing": 0.1, "blind": 3.0}


def test_the_linear_probe_is_kept_and_says_what_it_is(planted: Path, ran: Path) -> None:
    from models.probe import unpack_probe

    probe, card = unpack_probe((ran / "probe-seeing.safetensors").read_bytes(), "probe")
    assert (card.encoder_id, card.classes) == ("seeing", ("benign", "tumour"))
    assert card.data == ("cohort.zarr: labels of 100 patches (split manifest)",)
    assert card.mpp is None  # nobody said it of these patches
    archive, right = Archive.open(str(planted)), []
    for slide_id in ("test30", "test31"):
        rows = Embeddings(archive[slide_id], "seeing").read()
        right += (probe.scores(rows).argmax(axis=1) == int(slide_id[-1])).tolist()
    assert np.mean(right) > 0.9
    linear = [one for one in _lines(ran, "score") if one.get("classifier")]
    assert [(one["encoder"], one["fraction"]) for one in linear] == [("seeing", 1), ("blind", 1)]


def test_the_same_command_gives_the_same_scores(planted: Path, ran: Path, microtome: Run) -> None:
    out = ran.with_name("again")
    words = ["probe", planted, "--encoder", "seeing", "blind", "--out", out, "--resamples", 200]
    assert microtome(*words).code == 0
    assert (out / "scores.csv").read_bytes() == (ran / "scores.csv").read_bytes()


def test_the_table_names_scores_split_and_report(
    planted: Path, tmp_path: Path, microtome: Run
) -> None:
    words = ["probe", planted, "--encoder", "seeing", "--probe", "knn", "--fractions", 1]
    done = microtome(*words, "--out", tmp_path / "run", "--resamples", 50)
    assert done.code == 0
    assert re.search(r"knn +seeing +100 % +\d\.\d{3} \(", done.out)
    assert (
        "by manifest: 100 patches of 20 patients teach, 60 patches of 12 patients test" in done.out
    )
    assert str(tmp_path / "run" / "report.html") in done.out


def test_a_split_by_patch_is_marked_leaky_everywhere(
    planted: Path, tmp_path: Path, microtome: Run
) -> None:
    words = ["probe", planted, "--encoder", "seeing", "--probe", "knn", "--fractions", 1]
    done = microtome(*words, "--split", "patch", "--out", tmp_path / "run", "--resamples", 20)
    assert done.code == 0
    assert "leaky" in done.out
    assert "Leaky." in (tmp_path / "run" / "report.html").read_text()


def test_labels_of_slides_can_be_learned(tmp_path: Path, microtome: Run) -> None:
    slides = [Planted(f"s{i}", None, f"p{i}", label=("well", "sick")[i % 2]) for i in range(12)]
    archive = plant(tmp_path / "a.zarr", slides)
    embed_all(archive, "e", signal=0)
    words = ["probe", archive.location, "--encoder", "e", "--probe", "knn", "--labels", "slide"]
    done = microtome(*words, "--out", tmp_path / "run", "--resamples", 20, "--json")
    assert done.code == 0
    assert done.document["split"]["how"] == "patient"
    assert [one["name"] for one in done.document["classes"]] == ["well", "sick"]


def test_a_share_without_labels_of_a_class_says_so(tmp_path: Path, microtome: Run) -> None:
    slides = [*cohort(8, 4, "train"), *cohort(4, 4, "test", 20)]
    names = ("benign", "tumour", "rare")
    rare = [Planted("r", [1, 1, 1, 2], "r", "train", names=names)]  # is mostly of another class
    archive = plant(tmp_path / "a.zarr", [*slides, *rare])
    embed_all(archive, "e", signal=1)
    words = ["probe", archive.location, "--encoder", "e", "--probe", "knn", "--fractions", 0.2, 1]
    done = microtome(*words, "--out", tmp_path / "run", "--resamples", 20, "--json")
    first, second = [line for line in done.document["lines"] if line["kind"] == "score"]
    assert second["untaught"] == []
    assert first["untaught"] in ([], ["rare"])
    assert second["metrics"]["macro_auroc"]["value"] is not None


def test_a_fit_that_fails_is_told_and_the_others_go_on(tmp_path: Path, microtome: Run) -> None:
    archive = plant(tmp_path / "a.zarr", [*cohort(8, 4, "train"), *cohort(4, 4, "test", 20)])
    embed_all(archive, "e", signal=1.0, scale=1e30)
    words = ["probe", archive.location, "--encoder", "e", "--fractions", 1]
    done = microtome(*words, "--out", tmp_path / "run", "--resamples", 20)
    assert done.code == 3
    assert "failed   linear of e: the linear probe's loss is" in done.out
    assert len(_lines(tmp_path / "run", "score")) == 1
    assert "failed:" in (tmp_path / "run" / "report.html").read_text()


def test_a_linear_probe_that_does_not_settle_is_told(
    planted: Path, tmp_path: Path, microtome: Run
) -> None:
    words = ["probe", planted, "--encoder", "blind", "--probe", "linear", "--fractions", 1]
    words = [*words, "--resamples", 10, "--linear-rate", 3000]
    done = microtome(*words, "--out", tmp_path / "run")
    assert done.code == 0
    assert "unsettled linear of blind on 100 %: its training loss is" in done.out
    assert "worse than guessing" in (tmp_path / "run" / "report.html").read_text()
    assert not any(line["unsettled"] for line in _lines_of_usual_rate(planted, tmp_path, microtome))


def _lines_of_usual_rate(planted: Path, tmp_path: Path, microtome: Run) -> list[dict[str, Any]]:
    words = ["probe", planted, "--encoder", "seeing", "--probe", "linear", "--fractions", 1]
    assert microtome(*words, "--resamples", 10, "--out", tmp_path / "usual").code == 0
    return _lines(tmp_path / "usual", "score")


def test_fine_tuning_starts_from_a_name_and_keeps_the_encoder(
    planted: Path, tmp_path: Path, microtome: Run
) -> None:
    words = ["probe", planted, "--encoder", "resnet10t", "--probe", "finetune", "--fractions", 1]
    options = ["--finetune-epochs", 1, "--finetune-px", 32, "--save-encoders", "--resamples", 20]
    weights = ["--weights", "resnet10t=random:3", "--device", "cpu"]
    out = tmp_path / "run"
    done = microtome(*words, *weights, *options, "--out", out, "--json")
    assert done.code == 0, done.err
    (score,) = _lines(out, "score")
    (epoch,) = _lines(out, "epoch")
    assert epoch["best"]
    assert score["checkpoint"] == str(out / "resnet10t-supervised.safetensors")
    from models.encoders import open_encoder

    card = open_encoder(score["checkpoint"]).card
    assert (card.method, card.name) == ("supervised", "resnet10t-supervised")
    assert card.input_px == 32
    assert card.data == ("cohort.zarr: labels of 100 patches (split manifest)",)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--encoder", "unknown"], "no embeddings of 'unknown'; there are: blind, seeing"),
        (["--encoder", "seeing", "--test-split", "other"], "split 'other'; there are: test, train"),
        (["--encoder", "seeing", "--fractions", "0", "1"], "above 0 and at most 1"),
        (["--encoder", "seeing", "--probe", "finetune"], "no encoder is called 'seeing'"),
        (
            ["--encoder", "seeing", "--probe", "finetune", "--weights", "seein=random:0"],
            "--weights names 'seein', which is not asked for; did you mean seeing",
        ),
        (["--encoder", "seeing", "--weights", "x"], "weights are given as ENCODER=WEIGHTS"),
        ([], "--encoder is needed"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    words: list[str], sentence: str, planted: Path, tmp_path: Path, microtome: Run
) -> None:
    done = microtome("probe", planted, *words, "--out", tmp_path / "run")
    assert done.code == 2
    assert re.search(sentence, done.err)
    assert not (tmp_path / "run" / "config.json").exists()


def test_an_archive_without_labels_is_refused(tmp_path: Path, microtome: Run) -> None:
    archive = plant(tmp_path / "a.zarr", [Planted("a", None)])
    done = microtome("probe", archive.location, "--encoder", "e", "--out", tmp_path / "run")
    assert (done.code, "none of 1 slides" in done.err) == (2, True)


def test_a_run_is_replaced_on_request_only(planted: Path, tmp_path: Path, microtome: Run) -> None:
    words = ["probe", planted, "--encoder", "blind", "--probe", "knn", "--fractions", 1]
    words = [*words, "--out", tmp_path / "run", "--resamples", 10]
    assert microtome(*words).code == 0
    refused = microtome(*words)
    assert (refused.code, "holds a run already" in refused.err) == (2, True)
    assert microtome(*words, "--overwrite").code == 0


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_asks_the_network_for_nothing_and_draws_every_curve(ran: Path) -> None:
    text = (ran / "report.html").read_text()
    page = _Page(text)
    assert not page.links
    assert not {"script", "link", "iframe", "img", "form"} & set(page.tags)
    assert not re.search(r"https?://|@import|url\(", text)
    assert text.count('class="plot"') == 2 * 3
    assert text.count("<polyline") == 2 * 3 * 2
    assert len(text) < 100_000


def test_stored_random_embeddings_can_be_fine_tuned_and_others_need_their_file(
    planted: Path, tmp_path: Path, microtome: Run
) -> None:
    import shutil

    archive = Archive.open(str(shutil.copytree(planted, tmp_path / "copy.zarr")))
    embed_all(archive, "mine", signal=0, name="resnet10t", input_px=32)
    embed_all(archive, "other", signal=0, name="resnet10t", weights="secret.pt")
    words = ["probe", archive.location, "--probe", "finetune", "--fractions", 0.2]
    words = [*words, "--finetune-epochs", 1, "--resamples", 10, "--out", tmp_path / "run"]
    refused = microtome(*words, "--encoder", "other")
    assert refused.code == 2
    assert "with the weights secret.pt; to fine-tune from them give the file" in refused.err
    assert microtome(*words, "--encoder", "mine").code == 0
    assert len(_lines(tmp_path / "run", "score")) == 1


def test_names_cannot_smuggle_markup_in() -> None:
    from workflows.reporting.probing import render_probe

    evil = "<script>alert(1)</script>"
    found = {"value": 0.5, "low": None, "high": None}
    counts = {"patches": 1, "slides": 1, "patients": 1}
    train = {"train": counts, "untaught": [evil], "metrics": dict.fromkeys(METRICS, found)}
    document = {
        "archive": evil,
        "encoders": [evil],
        "classes": [{"name": evil, "train": counts, "test": counts}],
        "split": {"how": evil, "leaky": False, "train": counts, "test": counts},
        "most_frequent": {"class": evil, "accuracy": 0.5, "balanced_accuracy": 0.5},
        "unlabelled": 0,
        "unreadable": 0,
        "config": {"labels": "patch", "resamples": 1, "fraction_unit": evil},
        "lines": [
            {"kind": "score", "encoder": evil, "probe": "knn", "fraction": 1.0, **train},
            {"kind": "failed", "encoder": evil, "probe": "knn", "fraction": 1.0, "error": evil},
        ],
    }
    page = render_probe(document, "1")
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8


def test_curves_place_values_and_intervals() -> None:
    from workflows.reporting.label_curves import BOTTOM, HEIGHT, TOP, Point, curves

    drawn = curves([(0, [Point(0.1, 0.5, 0.2, 0.8), Point(1.0, 0.7)])], title="t", chance=0.2)
    room, floor = HEIGHT - TOP - BOTTOM, HEIGHT - BOTTOM
    ys = [floor - room * (value - 0.2) / 0.6 for value in (0.5, 0.7)]  # the axis is .2 to .8
    places = re.search(r'points="([^"]+)"', drawn)
    assert places is not None
    found = [float(place.split(",")[1]) for place in places[1].split()]
    assert found == pytest.approx(ys, abs=0.1)
    assert f'y1="{float(TOP)}" y2="{float(floor)}"' in drawn  # the interval's whole length
    assert np.unique(re.findall(r">([\d.]+) %<", drawn)).tolist() == ["10", "100"]
