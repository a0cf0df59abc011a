"""`microtome embed` from the command line: what it writes, skips, refuses and tells."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.tiling.archives import cut
from tests.workflows.conftest import Microtome
from tiling.embeddings import Embeddings, embedding_ids
from tiling.store import Archive
from workflows import cli
from workflows.progress import Update
from workflows.registry import WORKFLOWS
from wsi.synthetic import SvsSpec, write_svs

TINY = ("--encoder", "test_resnet", "--weights", "random:0", "--precision", "float32")

Embed = Callable[..., Any]


@pytest.fixture(scope="session")
def cut_slides(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> Path:
    """Slides `a` (16 patches of 160 px), `b` (9) and `none` (none); not to be changed."""
    folder = tmp_path_factory.mktemp("to-embed")
    for name, side in (("a", 640), ("b", 480)):
        write_svs(folder / f"{name}.svs", cmu_slide, side, SvsSpec(mpp=0.5, with_associated=False))
        cut(folder / "a.zarr", folder / f"{name}.svs", name, patch_size_px=160, encoding="raw")
    cut(folder / "a.zarr", folder / "a.svs", "none", patch_size_px=160, min_tissue=1.1)
    return folder / "a.zarr"


@pytest.fixture
def slides(cut_slides: Path, tmp_path: Path) -> Path:
    return shutil.copytree(cut_slides, tmp_path / "a.zarr")


@pytest.fixture
def embed(microtome: Microtome, scheduler: str) -> Embed:
    """Run the command on the session's worker."""

    def run(archive: Path, *words: object, tiny: bool = True) -> Any:
        encoder = TINY if tiny else ()
        return microtome("embed", archive, *encoder, *words, "--scheduler", scheduler)

    return run


def rows_of(archive: Path, slide_id: str, name: str = "test_resnet") -> np.ndarray:
    return Embeddings(Archive.open(str(archive))[slide_id], name).read()


def files_of(archive: Path) -> dict[str, bytes]:
    return {
        path.relative_to(archive).as_posix(): path.read_bytes()
        for path in sorted(archive.rglob("*"))
        if path.is_file()
    }


def test_every_slide_gets_its_rows_and_says_what_made_them(embed: Embed, slides: Path) -> None:
    ran = embed(slides, "--dtype", "float32", "--json")
    assert ran.code == 0, ran.err
    document = ran.document
    assert document["slides"] == {"done": 3, "skipped": 0, "failed": 0}
    assert (document["patches"], document["encoder_id"]) == (25, "test_resnet")
    assert document["setting"]["why"].startswith("float32 was asked for")
    assert [rows_of(slides, name).shape for name in ("a", "b", "none")] == [
        (16, 96),
        (9, 96),
        (0, 96),
    ]
    known = Embeddings(Archive.open(str(slides))["a"], "test_resnet").attributes
    assert known["card"]["weights"] == "random:0"
    assert known["settings"] == {
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "precision": "float32",
        "channels_last": True,
        "compiled": False,
    }
    assert (known["dtype"], known["forced"]) == ("float32", [])
    assert not (slides / ".microtome").exists()
    assert len(files_of(slides / "a/embeddings")) <= 6


def test_a_second_run_skips_and_changes_no_byte(embed: Embed, slides: Path) -> None:
    assert embed(slides, "--slide", "a").code == 0
    before = files_of(slides)
    ran = embed(slides, "--slide", "a", "--json")
    assert ran.document["slides"] == {"done": 0, "skipped": 1, "failed": 0}
    assert files_of(slides) == before
    rest = embed(slides, "--json")
    assert rest.document["slides"] == {"done": 2, "skipped": 1, "failed": 0}
    assert rest.document["setting"]["why"] == "that of the slides which have these embeddings"


def test_other_embeddings_are_a_conflict_unless_overwritten(embed: Embed, slides: Path) -> None:
    assert embed(slides, "--quiet").code == 0
    before = files_of(slides)
    other = ("--encoder", "test_resnet", "--weights", "random:1", "--precision", "float32")
    ran = embed(slides, *other, tiny=False)
    assert ran.code == 2
    assert "other embeddings named test_resnet: a: they are of another encoder" in ran.err
    assert files_of(slides) == before
    assert embed(slides, *other, "--name", "second", "--quiet", tiny=False).code == 0
    assert embed(slides, *other, "--overwrite", "--quiet", tiny=False).code == 0
    store = Archive.open(str(slides))["a"]
    assert embedding_ids(store) == ["second", "test_resnet"]
    np.testing.assert_array_equal(rows_of(slides, "a"), rows_of(slides, "a", "second"))
    assert not (slides / ".microtome").exists()


def test_a_mismatch_is_refused_and_recorded_when_forced(embed: Embed, slides: Path) -> None:
    words = (*TINY, "--input-px", 96, "--slide", "b")
    ran = embed(slides, *words, tiny=False)
    assert ran.code == 2
    assert "b: the patches have 160 px a side, test_resnet wants 96" in ran.err
    assert not (slides / "b/embeddings").exists()
    ran = embed(slides, *words, "--force", tiny=False)
    assert ran.code == 0
    assert "forced   the patches have 160 px a side" in ran.out
    known = Embeddings(Archive.open(str(slides))["b"], "test_resnet").attributes
    assert known["forced"] == ["the patches have 160 px a side, test_resnet wants 96"]


def test_batch_and_workers_change_nothing(microtome: Microtome, embed: Embed, slides: Path) -> None:
    for batch in (1, 7, "auto"):
        words = ("--batch", batch, "--name", f"b{batch}", "--dtype", "float32", "--quiet")
        assert embed(slides, *words).code == 0
    words = ("--workers", 2, "--name", "w2", "--dtype", "float32", "--json", "--quiet")
    assert microtome("embed", slides, *TINY, *words).document["workers"] == 2
    for slide_id in ("a", "b"):
        wanted = rows_of(slides, slide_id, "b1")
        for name in ("b7", "bauto", "w2"):
            difference = np.abs(rows_of(slides, slide_id, name) - wanted).max()
            assert difference <= 1e-5 * np.abs(wanted).max()


@pytest.fixture
def bright(tmp_path: Path) -> tuple[Path, Path]:
    """Slides `black` and `white`, and weights whose first layer overflows on white alone."""
    from models.encoders import open_encoder

    for name, value in (("black", 0), ("white", 255)):
        Image.new("RGB", (320, 320), (value, value, value)).save(tmp_path / f"{name}.png")
        place = tmp_path / f"{name}.png"
        cut(tmp_path / "bw.zarr", place, name, patch_size_px=160, slide_mpp=0.5)
    tensors = open_encoder("test_resnet", "random:0").network.state_dict()
    first = next(key for key, value in tensors.items() if value.ndim == 4)
    tensors[first] = torch.full_like(tensors[first], 1e38)
    save_file(tensors, tmp_path / "hot.safetensors")
    return tmp_path / "bw.zarr", tmp_path / "hot.safetensors"


def test_a_slide_with_numbers_that_are_none_fails_and_others_go_on(
    embed: Embed, bright: tuple[Path, Path]
) -> None:
    archive, weights = bright
    words = ("--encoder", "test_resnet", "--weights", weights, "--precision", "float32")
    ran = embed(archive, *words, "--name", "hot", tiny=False)
    assert ran.code == 3, ran.err
    assert "1 done, 1 failed" in ran.out
    assert "white: patch 0: the encoder gave NaN or infinity" in ran.out
    opened = Archive.open(str(archive))
    assert [embedding_ids(opened[name]) for name in ("black", "white")] == [["hot"], []]
    assert not (archive / ".microtome").exists()


def test_a_slide_that_cannot_be_read_fails_and_others_go_on(embed: Embed, slides: Path) -> None:
    (slides / "a/patches/c/0/0/0/0").write_bytes(b"broken")
    ran = embed(slides, "--json")
    assert ran.code == 3
    failed = [outcome for outcome in ran.document["outcomes"] if outcome["state"] == "failed"]
    assert [(outcome["slide_id"], outcome["cause"]) for outcome in failed] == [
        ("a", "CorruptStoreError")
    ]
    assert embedding_ids(Archive.open(str(slides))["b"]) == ["test_resnet"]


def test_verify_reads_embeddings_again(embed: Embed, slides: Path, microtome: Microtome) -> None:
    assert embed(slides, "--quiet").code == 0
    assert microtome("verify", slides, "--workers", 1).code == 0
    shard = slides / "b/embeddings/test_resnet/c/0/0"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    ran = microtome("verify", slides, "--workers", 1)
    assert ran.code == 3
    assert "b/embeddings/test_resnet/c/0/0: its checksum" in ran.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--encoder", "resnet5"), "resnet5"),
        (("--encoder", "test_resnet", "--weights", "nowhere.safetensors"), "nowhere.safetensors"),
        ((*TINY, "--layer", "stage9"), "stage9"),
        ((*TINY, "--slide", "c"), "holds no slide 'c'"),
        ((*TINY, "--name", "a/b"), "'a/b' cannot name an encoder"),
        ((*TINY, "--batch", "0"), "--batch: "),
        ((*TINY, "--dtype", "float8"), "float8"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    embed: Embed, slides: Path, words: tuple[str, ...], sentence: str
) -> None:
    before = files_of(slides)
    ran = embed(slides, *words, tiny=False)
    assert ran.code == 2
    assert sentence in ran.err
    assert len(ran.err.splitlines()) == 1
    assert files_of(slides) == before


def test_paths_of_weights_hold_wherever_workers_start(
    embed: Embed, slides: Path, bright: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bright[1].parent)
    words = ("--encoder", "test_resnet", "--weights", "hot.safetensors", "--slide", "none")
    assert embed(slides, *words, "--quiet", tiny=False).code == 0


def test_progress_counts_patches(slides: Path, scheduler: str) -> None:
    workflow, seen = WORKFLOWS["embed"], list[Update]()
    config = workflow.config_model.model_validate(
        {
            "archive": str(slides),
            "encoder": "test_resnet",
            "weights": "random:0",
            "precision": "float32",
            "scheduler": scheduler,
        }
    )
    assert workflow.run(config, seen.append).exit_code == 0
    assert (seen[-1].slides_total, seen[-1].slides_done) == (3, 3)
    assert seen[-1].patches_done == seen[-1].patches_total == 25
    assert [update.patches_done for update in seen] == sorted(u.patches_done for u in seen)


def test_help_needs_no_torch(microtome: Microtome) -> None:
    ran = microtome("embed", "--help")
    assert ran.code == 0
    assert "--precision" in ran.out


def test_the_archive_may_be_given_in_a_config_file(embed: Embed, slides: Path) -> None:
    file = slides.parent / "embed.json"
    settings = {"encoder": "test_resnet", "weights": "random:0", "precision": "float32"}
    file.write_text(json.dumps(settings | {"batch": "auto", "slide": "b"}))
    assert embed(slides, "--config", file, "--quiet", tiny=False).code == 0
    assert cli.run(["ls", str(slides), "--quiet"]) == 0
