"""Places of clients: what they may name, what it means, and what answers show."""

import csv
from pathlib import Path
from typing import Any

import pytest

from service.archives import Archives
from service.errors import InvalidError
from service.jobs.finders import Here, find
from service.jobs.kinds import Kind
from service.jobs.machine import fill
from service.jobs.names import Names
from service.jobs.offers import OFFERS
from service.jobs.places import Places
from service.jobs.sources import Source, Sources
from tiling.manifest import read_manifest

OUTSIDE = {
    "absolute": "/etc/passwd",
    "home": "~/x",
    "parent": "../x",
    "parent within": "runs/../../x",
    "hidden": ".ssh/id",
    "hidden within": "runs/.git/config",
    "url": "file:///etc/passwd",
    "bucket": "s3://bucket/x",
    "backslash": "runs\\x",
    "nul": "runs/\0x",
    "newline": "runs/a\nb",
    "empty part": "runs//x",
    "dot": "./runs",
    "link out": "link/passwd",
    "link": "link",
    "link round": "round/x",
    "long": "x" * 2000,
}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    for name in ("runs/a", "archives/new.zarr", "demo.zarr", "jobs/x", "slides/up", "cache"):
        (work / name).mkdir(parents=True)
    for name in ("demo.zarr/zarr.json", "archives/new.zarr/zarr.json"):
        (work / name).write_text("{}")
    for name in ("runs/a/model.safetensors", "mask.geojson", "service.sqlite", "jobs/x/slides.csv"):
        (work / name).write_text("x")
    (work / "link").symlink_to("/etc")
    (work / "round").symlink_to(work / "round")
    (work / "up").symlink_to(work / "jobs")
    return work


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "more").mkdir(parents=True)
    for name in ("one.svs", "more/two.svs", "more/notes.txt"):
        (root / name).write_bytes(b"x")
    (root / "more" / "out.svs").symlink_to("/etc/passwd")
    (root / "etc").symlink_to("/etc")
    return root


@pytest.fixture
def here(work: Path, root: Path) -> Here:
    return Here(work, root, Archives(work, ("s3://bucket/far.zarr",)))


@pytest.fixture
def places(here: Here, root: Path) -> Places:
    known = {"up": Source("up", str(here.work / "slides/up/a.svs"), "up", 0.25)}
    registered = {"one.svs": Source("first", str(root / "one.svs"), "slides/one.svs")}
    return Places(here, Sources(root, known.get, registered.get))


READING = (Kind.FILE, Kind.FOLDER, Kind.SOURCE, Kind.TABLE, Kind.WEIGHTS, Kind.ENCODER)
WRITING = (Kind.OUT_FOLDER, Kind.OUT_CSV, Kind.OUT_HTML, Kind.NEW_ARCHIVE)


@pytest.mark.parametrize("kind", [*READING, *WRITING, Kind.ARCHIVE])
@pytest.mark.parametrize("word", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_no_word_leads_out(kind: Kind, word: str, here: Here) -> None:
    with pytest.raises(InvalidError):
        find(here, kind, word)


@pytest.mark.parametrize("kind", [*READING, *WRITING[:3]])
@pytest.mark.parametrize(
    "word", ["service.sqlite", "jobs/x/slides.csv", "slides/up", "up/x/slides.csv"]
)
def test_what_is_the_services_own_is_not_for_jobs(kind: Kind, word: str, here: Here) -> None:
    with pytest.raises(InvalidError):
        find(here, kind, word)


def test_files_and_folders_are_found_and_told_apart(here: Here, work: Path) -> None:
    assert find(here, Kind.FILE, "mask.geojson") == str(work / "mask.geojson")
    assert find(here, Kind.FOLDER, "runs/a") == str(work / "runs/a")
    assert find(here, Kind.SOURCE, "runs/a") == str(work / "runs/a")
    with pytest.raises(InvalidError, match="there is no file 'runs/a'"):
        find(here, Kind.FILE, "runs/a")
    with pytest.raises(InvalidError, match="there is no folder 'runs/b'"):
        find(here, Kind.FOLDER, "runs/b")


def test_archives_go_by_their_names(here: Here, work: Path) -> None:
    assert find(here, Kind.ARCHIVE, "demo.zarr") == str(work / "demo.zarr")
    assert find(here, Kind.ARCHIVE, "new.zarr") == str(work / "archives/new.zarr")
    assert find(here, Kind.ARCHIVE, "far.zarr") == "s3://bucket/far.zarr"
    for word in ("missing.zarr", "archives/new.zarr", "demo.zarr/cmu"):
        with pytest.raises(InvalidError, match="there is no archive"):
            find(here, Kind.ARCHIVE, word)


def test_a_new_archive_lies_among_the_archives(here: Here, work: Path) -> None:
    assert find(here, Kind.NEW_ARCHIVE, "b.zarr") == str(work / "archives/b.zarr")
    assert find(here, Kind.NEW_ARCHIVE, "demo.zarr") == str(work / "demo.zarr")
    for word in ("b", "x/b.zarr", ".b.zarr", "-b.zarr", "b.zarr/c.zarr"):
        with pytest.raises(InvalidError, match="is no name of an archive"):
            find(here, Kind.NEW_ARCHIVE, word)


def test_outputs_stay_out_of_archives_and_keep_their_kind(here: Here, work: Path) -> None:
    assert find(here, Kind.OUT_FOLDER, "exports/b") == str(work / "exports/b")
    assert find(here, Kind.OUT_HTML, "reports/a.html") == str(work / "reports/a.html")
    for kind, word in (
        (Kind.OUT_FOLDER, "demo.zarr/x"),
        (Kind.OUT_FOLDER, "x.zarr"),
        (Kind.OUT_FOLDER, "archives/x"),
        (Kind.OUT_FOLDER, "mask.geojson"),
        (Kind.OUT_HTML, "runs/a/model.safetensors"),
        (Kind.OUT_CSV, "runs/a.html"),
    ):
        with pytest.raises(InvalidError):
            find(here, kind, word)


def test_encoders_and_weights_are_names_or_files_here(here: Here, work: Path) -> None:
    file = str(work / "runs/a/model.safetensors")
    for word in ("resnet50", "timm:vit_small", "hf-hub:MahmoodLab/UNI2-h"):
        assert find(here, Kind.ENCODER, word) == word
    assert find(here, Kind.ENCODER, "runs/a/model.safetensors") == file
    wrong = ("local-dir:x", "hf-hub:a/b/c", "hf-hub:someone/else", "runs/none.x", "hf-hub:../x")
    for word in wrong:
        with pytest.raises(InvalidError):
            find(here, Kind.ENCODER, word)
    for word in ("random:0", "random", "published"):
        assert find(here, Kind.WEIGHTS, word) == word
    assert find(here, Kind.WEIGHTS, "runs/a/model.safetensors") == file
    assert find(here, Kind.NAMED_WEIGHTS, "resnet50=runs/a/model.safetensors") == f"resnet50={file}"
    with pytest.raises(InvalidError):
        find(here, Kind.NAMED_WEIGHTS, "resnet50=/etc/passwd")


@pytest.mark.parametrize("word", ["../x", "a/b", "/x", "~x", ".x", "a\\b"])
def test_a_name_is_no_path(word: str, here: Here) -> None:
    for kind in (Kind.NAME, Kind.NETWORK):
        with pytest.raises(InvalidError, match="no name"):
            find(here, kind, word)


LISTS = {
    "path\n/etc/passwd\n": False,
    "path\n../../secret.svs\n": False,
    "path\ns3://bucket/a.svs\n": False,
    "path\n~/a.svs\n": False,
    "path,mask_path\none.svs,/etc/shadow\n": False,
    "slide_id,WSI\na,/etc/passwd\n": False,
    "file,mask\nlink/x,\n": False,
    "image;label\n/etc/a.nii;b.nii\n": False,
    "path,patient\nruns/a/one.svs,P/1\n": True,
    "slide_id,label\na,tumour\n": True,
}


@pytest.mark.parametrize(("text", "good"), LISTS.items())
def test_lists_name_only_what_clients_may_name(
    text: str, good: bool, here: Here, work: Path
) -> None:
    (work / "list.csv").write_text(text)
    if good:
        assert find(here, Kind.TABLE, "list.csv") == str(work / "list.csv")
    else:
        with pytest.raises(InvalidError, match=r"list\.csv line 2 names a file that is not here"):
            find(here, Kind.TABLE, "list.csv")


def test_a_list_may_name_slides_under_the_root(here: Here, work: Path, root: Path) -> None:
    (work / "list.csv").write_text(f"path\n{root}/one.svs\n")
    assert find(here, Kind.TABLE, "list.csv")


def place(places: Places, name: str, **config: Any) -> Any:
    return places.place(OFFERS[name], config)


def test_slides_are_ids_or_paths_under_the_root(places: Places, root: Path, work: Path) -> None:
    placed = place(places, "tile", slides=["up", "slides/one.svs"], out="b.zarr")
    assert placed.slides == [
        Source("up", str(work / "slides/up/a.svs"), "up", 0.25),
        Source("first", str(root / "one.svs"), "slides/one.svs"),
    ]
    assert placed.config["slides"] == []


@pytest.mark.parametrize(
    "word", ["missing", "slides/none.svs", "slides/../x", "slides/etc/passwd", "/etc/passwd"]
)
def test_other_slides_are_refused(word: str, places: Places) -> None:
    with pytest.raises(InvalidError, match="slides: "):
        place(places, "tile", slides=[word], out="b.zarr")


def test_a_link_among_the_slides_that_leads_out_is_refused(places: Places, root: Path) -> None:
    with pytest.raises(InvalidError, match="leads out"):
        place(places, "tile", slides=["slides/more"], out="b.zarr")
    (root / "more" / "out.svs").unlink()
    placed = place(places, "tile", slides=["slides/more"], out="b.zarr")
    assert [(one.slide_id, one.word) for one in placed.slides] == [
        ("more__two", "slides/more/two.svs")
    ]
    whole = place(places, "tile", slides=["slides/"], out="b.zarr").slides
    assert [one.word for one in whole] == ["slides/more/two.svs", "slides/one.svs"]


def test_a_job_is_given_its_slides_as_a_manifest(places: Places, tmp_path: Path) -> None:
    placed = place(places, "tile", slides=["up", "slides/one.svs"], out="b.zarr")
    config = fill(OFFERS["tile"], placed, tmp_path / "job", scheduler="tcp://x:1", workers=3)
    assert (config["scheduler"], config["slides"], "workers" in config) == ("tcp://x:1", [], False)
    rows = read_manifest(config["manifest"])
    assert [(row.slide_id, row.mpp) for row in rows] == [("up", 0.25), ("first", None)]
    with Path(config["manifest"]).open() as file:
        assert next(csv.reader(file)) == ["slide_id", "path", "mpp"]


def test_a_map_is_of_an_archive_or_of_slides(places: Places, work: Path) -> None:
    placed = place(places, "map", slides=["demo.zarr"], model="runs/a")
    assert (placed.config["slides"], placed.slides) == ([str(work / "demo.zarr")], None)
    assert place(places, "map", slides=["up"], model="runs/a").slides[0].slide_id == "up"


def test_processes_of_this_machine_are_the_operators(places: Places, tmp_path: Path) -> None:
    placed = place(places, "verify", archive="demo.zarr")
    assert fill(OFFERS["verify"], placed, tmp_path, scheduler=None, workers=3)["workers"] == 3
    assert "workers" not in fill(OFFERS["verify"], placed, tmp_path, scheduler=None, workers=None)


def test_another_attempt_replaces_only_what_the_first_one_left(
    places: Places, tmp_path: Path, work: Path
) -> None:
    offer, folder = OFFERS["probe"], tmp_path / "job"
    fresh = place(places, "probe", archive="demo.zarr", encoder=["e"], out="runs/new")
    assert "overwrite" not in fill(offer, fresh, folder, scheduler=None, workers=None)
    (work / "runs/new").mkdir()
    (work / "runs/new/config.json").write_text("{}")
    assert fill(offer, fresh, folder, scheduler=None, workers=None)["overwrite"] is True
    taken = place(places, "probe", archive="demo.zarr", encoder=["e"], out="runs/a")
    for _ in range(2):
        config = fill(offer, taken, tmp_path / "other", scheduler=None, workers=None)
        assert "overwrite" not in config


def test_answers_show_the_clients_names(places: Places, work: Path, root: Path) -> None:
    names = places.names([(str(root / "one.svs"), "first")])
    shown = {
        f"{work}/archives/new.zarr": "new.zarr",
        f"{work}/demo.zarr.report.html": "demo.zarr.report.html",
        f"cannot read {root}/one.svs: no": "cannot read first: no",
        f"{root}/more/two.svs": "slides/more/two.svs",
        f"file://{work}/runs/a/x.json": "runs/a/x.json",
        f"'{work}'": "'.'",
        "s3://bucket/far.zarr/cmu": "far.zarr/cmu",
        "/usr/lib/python3/site.py:12: Warning": "…/site.py:12: Warning",
        "http://host/a/b 3/4 n/a": "http://host/a/b 3/4 n/a",
        f"{work}2/x": "…/x",
    }
    assert {text: names.shown(text) for text in shown} == shown
    document = {"a": [f"{work}/demo.zarr", 1, None], str(work / "b"): {"c": f"{root}/one.svs"}}
    assert names.document(document) == {"a": ["demo.zarr", 1, None], "b": {"c": "first"}}


def test_files_are_told_without_touching_what_only_looks_like_a_path(work: Path) -> None:
    names = Names([(str(work), "")])
    picture = "data:image/png;base64,iVBOR/abc/def/ghi=="
    assert names.told(f"{picture} {work}/runs/a") == f"{picture} runs/a"
