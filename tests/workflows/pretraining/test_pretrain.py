"""`microtome pretrain` from the command line, on real archives of tiny patches."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.encoders import read_card
from tests.workflows.conftest import Microtome
from tests.workflows.pretraining.conftest import Pretrain, curve, is_finite, lines_of
from tiling.embeddings import Embeddings
from tiling.store import Archive
from workflows.outcome import USAGE

METHODS = ("simclr", "rotnet", "rotnet-jitter", "mocov3", "ops", "srcl", "nsam", "ds", "supervised")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_an_encoder_with_its_card(
    pretrain: Pretrain, tmp_path: Path, method: str
) -> None:
    ran = pretrain(tmp_path / "run", method, "--epochs", 2, "--log-steps", 1)
    assert ran.code == 0, ran.err
    assert is_finite(tmp_path / "run")
    assert len(curve(tmp_path / "run")) == ran.document["steps"] == 6
    card = read_card(tmp_path / "run" / "encoder.safetensors")
    assert card is not None
    assert (card.name, card.method) == (f"resnet10t-{method}", method)
    assert card.data[0] == "random:0"
    assert "24 patches of 4 slides" in card.data[1]
    names = {"config.json", "curves.png", "encoder.safetensors", "metrics.jsonl", "report.html"}
    assert names <= {path.name for path in (tmp_path / "run").iterdir()}
    assert not list((tmp_path / "run").glob("state-*"))
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_checkpoint_goes_through_embed_and_export(
    pretrain: Pretrain, microtome: Microtome, archive: Path, tmp_path: Path
) -> None:
    assert pretrain(tmp_path / "run", "simclr", "--epochs", 1).code == 0
    checkpoint = tmp_path / "run" / "encoder.safetensors"
    embedded = microtome("embed", archive, "--encoder", checkpoint, "--name", "mine", "--json")
    assert embedded.code == 0, embedded.err
    stored = Embeddings(Archive.open(str(archive))["p0"], "mine")
    assert stored.attributes["card"]["method"] == "simclr"
    assert np.isfinite(stored.read(0, len(stored))).all()
    out = tmp_path / "bags"
    words = ("export", archive, "--encoder", "mine", "--format", "parquet", "--out", out)
    exported = microtome(*words, "--json")
    assert exported.code == 0, exported.err
    assert list(out.rglob("*.parquet"))


def test_a_second_stage_starts_from_the_first_ones_weights_and_keeps_the_chain(
    pretrain: Pretrain, tmp_path: Path, unlabelled: Path, microtome: Microtome
) -> None:
    assert pretrain(tmp_path / "one", "simclr", "--epochs", 1).code == 0
    first = tmp_path / "one" / "encoder.safetensors"
    # a rate of nearly nothing leaves the weights as they were
    words = ("--init", first, "--epochs", 1, "--lr", 1e-30, "--batch", 4, "--json")
    two = tmp_path / "two"
    ran = microtome("pretrain", unlabelled, "--out", two, "--method", "rotnet", *words)
    assert ran.code == 0, ran.err
    card = read_card(two / "encoder.safetensors")
    assert card is not None
    assert [seen.partition(":")[0] for seen in card.data] == ["random", "simclr", "rotnet"]
    assert card.name == "resnet10t-rotnet"
    ours, theirs = load(first), load(two / "encoder.safetensors")
    trained = [name for name in ours if not name.endswith(("mean", "var", "tracked"))]
    assert trained
    assert all(np.array_equal(ours[name], theirs[name]) for name in trained)


def load(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(path)


def test_several_archives_are_learned_from_together(
    archive: Path, unlabelled: Path, microtome: Microtome, tmp_path: Path
) -> None:
    ran = microtome(
        *("pretrain", archive, unlabelled, "--out", tmp_path / "run", "--method", "simclr"),
        *("--encoder", "resnet10t", "--init", "random", "--input-px", 32, "--batch", 12),
        *("--epochs", 1, "--json"),
    )
    assert ran.code == 0, ran.err
    assert ran.document["data"]["patches"] == 36
    assert ran.document["data"]["slides"] == 6
    assert ran.document["steps"] == 3


def test_a_finished_run_is_not_done_again(pretrain: Pretrain, tmp_path: Path) -> None:
    first = pretrain(tmp_path / "run", "simclr", "--epochs", 1)
    before = (tmp_path / "run" / "encoder.safetensors").stat().st_mtime_ns
    second = pretrain(tmp_path / "run", "simclr", "--epochs", 1, "--log-steps", 3)
    assert second.document["skipped"]
    assert second.document["card"] == first.document["card"]
    assert (tmp_path / "run" / "encoder.safetensors").stat().st_mtime_ns == before


def test_a_folder_of_another_run_is_refused_and_overwritten_when_asked(
    pretrain: Pretrain, tmp_path: Path
) -> None:
    assert pretrain(tmp_path / "run", "simclr", "--epochs", 1).code == 0
    refused = pretrain(tmp_path / "run", "simclr", "--epochs", 2)
    assert refused.code == USAGE
    assert "holds another pretraining (with another --epochs)" in refused.err
    assert pretrain(tmp_path / "run", "simclr", "--epochs", 2, "--overwrite").code == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["epochs"] == 2


def test_a_finished_run_whose_encoder_or_record_is_gone_is_done_again(
    pretrain: Pretrain, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = pretrain(tmp_path / "run", "simclr", "--epochs", 1)
    (tmp_path / "run" / "encoder.safetensors").unlink()
    second = pretrain(tmp_path / "run", "simclr", "--epochs", 1)
    assert not second.document["skipped"]
    assert second.document["card"] == first.document["card"]
    (tmp_path / "run" / "run.json").write_text('{"finished": tr')
    third = pretrain(tmp_path / "run", "simclr", "--epochs", 1)
    assert third.code == 0
    assert "run.json is damaged" in caplog.text
    assert third.document["card"] == first.document["card"]


def test_a_request_that_is_refused_leaves_the_folder_free_for_the_right_one(
    pretrain: Pretrain, tmp_path: Path
) -> None:
    refused = pretrain(tmp_path / "run", "simclr", "--split", "nowhere")
    assert refused.code == USAGE
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {"training.lock"}
    diverged = pretrain(
        *(tmp_path / "run", "simclr", "--epochs", 2, "--lr", 1e30, "--log-steps", 1),
        *("--warmup-epochs", 0),
    )
    assert diverged.code == USAGE
    assert "lower --lr" in diverged.err
    assert pretrain(tmp_path / "run", "simclr", "--epochs", 1).code == 0


def test_a_file_is_no_folder(pretrain: Pretrain, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    refused = pretrain(tmp_path / "run", "simclr", "--epochs", 1)
    assert refused.code == USAGE
    assert "is a file; name a folder" in refused.err


def test_options_that_a_method_does_not_heed_are_named(pretrain: Pretrain, tmp_path: Path) -> None:
    ran = pretrain(tmp_path / "run", "rotnet", "--epochs", 1, "--queue", 8, "--temperature", 0.1)
    notes = "; ".join(ran.document["notes"])
    assert "--queue has no effect on rotnet" in notes
    assert "--temperature has no effect on rotnet" in notes


def test_a_folder_with_other_things_is_left_alone(pretrain: Pretrain, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    refused = pretrain(tmp_path, "simclr", "--epochs", 1, "--overwrite")
    assert refused.code == USAGE
    assert "no pretraining" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--split", "nowhere"), "there are: train"),
        (("--sampler", "one-slide", "--pool", "other_slides"), "several slides in a batch"),
        (("--temperature", "0"), "--temperature"),
        (("--name", "x", "--queue", "-1"), "--queue"),
        (("--device", "cuda"), "no GPU here"),
        (("--fraction", "1.5"), "--fraction"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(
    pretrain: Pretrain, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    import torch

    if "cuda" in words and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    ran = pretrain(tmp_path / "run", "srcl", "--epochs", 1, *words)
    assert ran.code == USAGE
    assert sentence in ran.err
    assert len(ran.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--encoder", "resnet999", "--init", "random"), "resnet999"),
        (("--encoder", "resnet10t", "--init", "gone.safetensors"), "gone.safetensors"),
        (("--encoder", "ctranspath", "--init", "random", "--input-px", 96), "exactly 224 px"),
    ],
)
def test_an_encoder_that_cannot_be_is_said_in_one_sentence(
    archive: Path, microtome: Microtome, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    ran = microtome("pretrain", archive, "--out", tmp_path / "run", "--method", "simclr", *words)
    assert ran.code == USAGE
    assert sentence in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_labels_are_needed_by_what_learns_from_them(
    unlabelled: Path, microtome: Microtome, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    for words in (("--method", "supervised"), ("--method", "simclr", "--stratify")):
        ran = microtome(
            *("pretrain", unlabelled, "--out", out, *words, "--encoder", "resnet10t"),
            *("--init", "random", "--input-px", 32, "--batch", 4, "--epochs", 1, "--overwrite"),
        )
        assert ran.code == USAGE
        assert "class" in ran.err


def test_nearest_neighbours_are_scored_where_patches_have_labels(
    pretrain: Pretrain, tmp_path: Path
) -> None:
    assert pretrain(tmp_path / "run", "simclr", "--epochs", 2, "--knn-epochs", 2).code == 0
    scores = [line["knn"] for line in lines_of(tmp_path / "run", "epoch")]
    assert scores[0] is None
    assert 0 <= scores[1] <= 1


def test_the_batch_fits_the_data_and_that_is_told(
    archive: Path, microtome: Microtome, tmp_path: Path
) -> None:
    words = ("--encoder", "resnet10t", "--init", "random", "--input-px", 32, "--epochs", 1)
    out = tmp_path / "run"
    ran = microtome("pretrain", archive, "--out", out, "--method", "simclr", *words, "--json")
    assert ran.code == 0, ran.err
    assert ran.document["training"]["batch"] == 24
    assert any("the batch is 24, not 512" in note for note in ran.document["notes"])
