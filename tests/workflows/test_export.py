"""`microtome export` and `microtome import bags` from the command line."""

import json
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from models.bags.table import FORMATS
from tests.models.bags.planted import ENCODER, make_archive, set_status
from tests.workflows.conftest import Microtome
from tiling.embeddings import Embeddings, embedding_ids
from tiling.store import Archive
from workflows.export import ExportConfig
from workflows.import_bags import ImportBagsConfig


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        return make_archive(tmp_path_factory.mktemp("planted"), cmu_slide, patch)


@pytest.fixture
def exported(planted: Path, tmp_path: Path, microtome: Microtome) -> Path:
    out = tmp_path / "bags"
    words = ("export", planted, "--encoder", ENCODER, "--format", "clam", "--out", out)
    assert microtome(*words).code == 0
    return out


def test_the_formats_are_those_of_the_table() -> None:
    for model in (ExportConfig, ImportBagsConfig):
        assert get_args(model.model_fields["format"].annotation) == tuple(FORMATS)


def test_an_export_says_what_it_did(planted: Path, tmp_path: Path, microtome: Microtome) -> None:
    out = tmp_path / "bags"
    words = ("export", planted, "--encoder", ENCODER, "--format", "clam", "--out", out)
    ran = microtome(*words, "--json")
    assert ran.code == 0
    known = ran.document
    assert known["slides"] == {"done": 7, "skipped": 0, "failed": 0}
    assert known["empty"] == ["empty"]
    assert known["fewer_than_8"] == ["single"]
    assert known["patches"] == sum(len(store) for store in Archive.open(str(planted)).stores())
    assert Path(known["summary"]).is_file()
    again = microtome(*words)
    assert again.code == 0
    assert "7 skipped" in again.out
    assert "note     single: 1 patches, and CLAM's instance loss needs 8" in again.out
    assert "empty    empty" in again.out


def test_processes_write_the_same_bytes(
    planted: Path, exported: Path, tmp_path: Path, microtome: Microtome
) -> None:
    out = tmp_path / "other"
    words = ("export", planted, "--encoder", ENCODER, "--format", "clam", "--out", out)
    assert microtome(*words, "--workers", 2).code == 0
    one = {p.relative_to(exported): p.read_bytes() for p in exported.rglob("*") if p.is_file()}
    two = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert one == two


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param(
            {"--format": "csv"},
            'Invalid value "csv" for --format. Choose from: "clam", "trident"',
            id="format",
        ),
        pytest.param(
            {"--encoder": "uni"},
            "no embeddings of 'uni'; there are: planted, planted16",
            id="encoder",
        ),
        pytest.param(
            {"--slide": "empty"}, "nothing to export: no patch is left in empty", id="N=0"
        ),
        pytest.param(
            {"--slide": "quart"}, "holds no slide 'quart'; did you mean quarter?", id="slide"
        ),
        pytest.param({"--dtype": "float16"}, "clam reads float32, not float16", id="dtype"),
        pytest.param({"archive": "nowhere.zarr"}, "no archive at nowhere.zarr", id="archive"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(
    planted: Path, tmp_path: Path, microtome: Microtome, changes: dict[str, str], sentence: str
) -> None:
    usual = {"--encoder": ENCODER, "--format": "clam", "--out": str(tmp_path / "bags")}
    archive = changes.get("archive", str(planted))
    given = usual | {name: value for name, value in changes.items() if name != "archive"}
    ran = microtome("export", archive, *(word for pair in given.items() for word in pair))
    assert ran.code == 2
    assert sentence in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not (tmp_path / "bags").exists()


def numeric(archive: Path) -> None:
    """Rename a slide's patient to a number."""
    path = archive / "quarter" / "zarr.json"
    document = json.loads(path.read_text())
    document["attributes"]["microtome"]["patient"] = "0012"
    path.write_text(json.dumps(document))


@pytest.fixture
def own(planted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(planted, tmp_path / "own.zarr"))


def test_ids_that_are_numbers_need_a_prefix(
    own: Path, tmp_path: Path, microtome: Microtome
) -> None:
    numeric(own)
    words = ["export", own, "--encoder", ENCODER, "--out", tmp_path / "bags", "--format"]
    ran = microtome(*words, "clam")
    assert ran.code == 2
    assert "read as numbers or as missing from a CSV: 0012; put something before" in ran.err
    ran = microtome(*words, "clam", "--prefix-ids", "s")
    assert ran.code == 0
    assert "s0012,squarter,lum" in (tmp_path / "bags" / "dataset.csv").read_text()
    assert (tmp_path / "bags" / "pt_files" / "squarter.pt").is_file()
    back = ("import", "bags", tmp_path / "bags", "--format", "clam", "--archive", own)
    assert microtome(*back, "--name", "back").code == 0
    words[-2] = tmp_path / "trident"
    assert microtome(*words, "trident").code == 0


def test_slides_without_embeddings_fail_and_the_others_go_on(
    own: Path, tmp_path: Path, microtome: Microtome
) -> None:
    (own / "odd" / "embeddings" / ENCODER / "zarr.json").unlink()
    shard = next((own / "hole" / "embeddings" / ENCODER / "c").rglob("0"))
    shard = next(path for path in shard.parent.rglob("*") if path.is_file())
    shard.write_bytes(b"damaged")
    words = ("export", own, "--encoder", ENCODER, "--format", "clam", "--out", tmp_path / "bags")
    ran = microtome(*words)
    assert ran.code == 3
    assert "failed   odd: no embeddings of 'planted'" in ran.out
    assert "failed   hole: " in ran.out
    assert (tmp_path / "bags" / "pt_files" / "quarter.pt").is_file()
    assert not (tmp_path / "bags" / "pt_files" / "hole.pt").exists()
    summary = json.loads((tmp_path / "bags" / "microtome.json").read_text())
    assert set(summary["failed"]) == {"odd", "hole"}


def test_bags_come_back_under_another_name(own: Path, exported: Path, microtome: Microtome) -> None:
    words = ("import", "bags", exported, "--format", "clam", "--archive", own, "--name", "back")
    ran = microtome(*words, "--json")
    assert ran.code == 0
    assert ran.document["slides"] == {"done": 6, "failed": 0}
    for store in Archive.open(str(own)).stores():
        if store.slide_id != "empty":
            back = Embeddings(store, "back")
            assert np.array_equal(back.read(), Embeddings(store, ENCODER).read())
            assert back.attributes["card"]["name"] == ENCODER
            assert back.attributes["imported"] == "clam"
    again = microtome(*words)
    assert again.code == 3
    assert "quarter has embeddings 'back' already" in again.out


def test_bags_of_other_tools_get_a_card_of_what_is_known(
    own: Path, exported: Path, microtome: Microtome
) -> None:
    (exported / "microtome.json").unlink()
    words = ("import", "bags", exported, "--format", "clam", "--archive", own, "--name", "theirs")
    assert microtome(*words).code == 0
    card = Embeddings(Archive.open(str(own))["quarter"], "theirs").attributes["card"]
    assert (card["name"], card["weights"], card["dim"]) == ("theirs", "imported:clam", 16)


def test_bags_of_slides_that_are_not_there_fail(
    own: Path, exported: Path, microtome: Microtome
) -> None:
    for part in ("pt_files", "h5_files", "patches"):
        path = next((exported / part).glob("odd.*"))
        path.rename(path.with_name("other" + path.suffix))
    words = ("import", "bags", exported, "--format", "clam", "--archive", own, "--name", "back")
    ran = microtome(*words)
    assert ran.code == 3
    assert "failed   other: " in ran.out
    assert "back" in embedding_ids(Archive.open(str(own))["quarter"])


def test_a_folder_without_bags_is_a_usage_error(
    own: Path, tmp_path: Path, microtome: Microtome
) -> None:
    words = ("--format", "clam", "--archive", own, "--name", "back")
    ran = microtome("import", "bags", tmp_path, *words)
    assert ran.code == 2
    assert "has neither h5_files nor pt_files" in ran.err
    ran = microtome("import", "bags", tmp_path / "none", *words)
    assert ran.code == 2
    assert "none is no folder" in ran.err


def test_rows_of_unreadable_patches_are_nan_when_they_are_missing(
    own: Path, tmp_path: Path, microtome: Microtome
) -> None:
    store = Archive.open(str(own))["quarter"]
    set_status(store, 2, 2)
    out = tmp_path / "less"
    words = ("export", own, "--encoder", ENCODER, "--format", "clam", "--out", out)
    assert microtome(*words).code == 0
    back = ("import", "bags", out, "--format", "clam", "--archive", own, "--name", "back")
    ran = microtome(*back)
    assert ran.code == 0
    assert "stored as NaN: 1 unreadable patch" in ran.out
    found = Embeddings(store, "back").read()
    assert np.isnan(found[2]).all()
    assert not np.isnan(np.delete(found, 2, axis=0)).any()
    tensor = torch.load(out / "pt_files" / "quarter.pt", weights_only=True)
    assert len(tensor) == len(store) - 1


def test_a_damaged_summary_stops_the_import(
    own: Path, exported: Path, microtome: Microtome
) -> None:
    (exported / "microtome.json").write_text("{")
    words = ("import", "bags", exported, "--format", "clam", "--archive", own, "--name", "back")
    ran = microtome(*words)
    assert ran.code == 2
    assert "microtome.json is damaged" in ran.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--format", "stamp", "--name", "back"), "bags was exported as clam, not as stamp"),
        (("--format", "clam", "--name", "../back"), "'../back' cannot name an encoder"),
    ],
    ids=["format", "name"],
)
def test_a_wrong_request_is_refused_before_any_slide(
    own: Path, exported: Path, microtome: Microtome, words: tuple[str, ...], sentence: str
) -> None:
    ran = microtome("import", "bags", exported, "--archive", own, *words)
    assert ran.code == 2
    assert sentence in ran.err
