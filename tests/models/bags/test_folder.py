"""Export folders: repeatable, atomic, resumed after a kill, one encoder each, bounded memory."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from models.bags import sink as writing
from models.bags.folder import ExportFolder
from models.errors import BagError
from tests.models.bags.exporting import contents, export, export_folder
from tests.models.bags.planted import ENCODER, HALF_ENCODER, SLIDES, embed, plant, set_status
from tiling.store import Archive

OURS = ("clam", "trident", "stamp", "slideflow", "slide2vec")
ROOT = Path(__file__).parents[3]


def test_the_same_export_twice_is_byte_identical(planted: Path, tmp_path: Path) -> None:
    for name in OURS:
        export(planted, name, tmp_path / "one" / name)
    time.sleep(2.1)  # ZIP has steps of two seconds, HDF5 of one
    for name in OURS:
        export(planted, name, tmp_path / "two" / name)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


def kill_at(number: int, work: Callable[[], object]) -> None:
    """Run `work` in another process, killed when its file `number` is whole but unnamed."""
    child = os.fork()
    if child == 0:
        calls, seal = count(1), writing.seal

        def killing(path: Path) -> list[Any]:
            if next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return seal(path)

        writing.seal = killing
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the export ended before it was killed"


@pytest.mark.parametrize("name", ["clam", "trident", "slide2vec"])
@pytest.mark.parametrize("number", [1, 4, 9])
def test_a_killed_export_shows_no_half_file_and_is_completed(
    planted: Path, tmp_path: Path, name: str, number: int
) -> None:
    whole = tmp_path / "whole"
    export(planted, name, whole)
    expected = contents(whole)
    out = tmp_path / "out"
    kill_at(number, lambda: export(planted, name, out))
    left = contents(out)
    visible = {path for path in left if not Path(path).name.startswith(".")}
    assert "microtome.json" not in visible
    shown = {path for path in visible if not path.startswith(".microtome")}
    assert all(left[path] == expected[path] for path in shown)
    assert len(left) > len(shown), "what was being written is under another name"
    export(planted, name, out)
    assert contents(out) == expected


def test_what_is_done_is_not_written_again(planted: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    kill_at(9, lambda: export(planted, "clam", out))
    done = [path.stem for path in (out / ".microtome" / "slides").glob("*.json")]
    before = {path: path.stat().st_ino for path in (out / "pt_files").glob("*.pt")}
    export(planted, "clam", out)
    kept = [path for path, inode in before.items() if path.stat().st_ino == inode]
    assert sorted(path.stem for path in kept) == sorted(name for name in done if name != "empty")
    assert done


def test_a_damaged_file_is_written_again(planted: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(planted, "clam", out)
    expected = contents(out)
    path = out / "pt_files" / "quarter.pt"
    damaged = bytearray(path.read_bytes())
    damaged[700] ^= 1
    path.write_bytes(damaged)
    export(planted, "clam", out)
    assert contents(out) == expected


def test_slides_that_are_new_are_added(own_archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(own_archive, "clam", out, slide_ids=["quarter"])
    assert len(json.loads((out / "microtome.json").read_text())["slides"]) == 1
    export(own_archive, "clam", out)
    whole = tmp_path / "whole"
    export(own_archive, "clam", whole)
    assert contents(out) == contents(whole)


def test_embeddings_that_changed_are_written_again(own_archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(own_archive, "clam", out)
    store = Archive.open(str(own_archive))["quarter"]
    shutil.rmtree(own_archive / "quarter" / "embeddings" / ENCODER)
    embed(store, plant(store, 77))
    path = own_archive / "quarter" / "embeddings" / ENCODER / "zarr.json"
    document = json.loads(path.read_text())
    document["attributes"]["microtome"]["checksums"] = {"c/0/0": [1, 2]}
    path.write_text(json.dumps(document))
    export(own_archive, "clam", out)
    tensor = torch.load(out / "pt_files" / "quarter.pt", weights_only=True)
    assert tensor[0, 0] == 77


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"encoder": HALF_ENCODER}, "holds an export with encoder_id 'planted', and this one has"),
        ({"prefix": "s"}, "with prefix '', and this one has 's'"),
        ({"keep_unreadable": True}, "with keep_unreadable False, and this one has True"),
    ],
)
def test_one_folder_is_one_export(
    planted: Path, tmp_path: Path, choices: dict[str, Any], sentence: str
) -> None:
    export(planted, "clam", tmp_path / "out")
    with pytest.raises(BagError, match=sentence):
        export(planted, "clam", tmp_path / "out", **choices)


def test_other_weights_under_one_name_are_not_mixed(own_archive: Path, tmp_path: Path) -> None:
    path = own_archive / "odd" / "embeddings" / ENCODER / "zarr.json"
    path.write_text(path.read_text().replace("0" * 64, "1" * 64))
    with pytest.raises(BagError, match="bounds and odd were embedded by different encoders of one"):
        export(own_archive, "clam", tmp_path / "out")
    export(own_archive, "clam", tmp_path / "out", slide_ids=["quarter"])
    with pytest.raises(BagError, match="holds an export with identity"):
        export_folder(own_archive, "clam", tmp_path / "out", slide_ids=["odd"])


def test_folders_of_others_are_left_alone(planted: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BagError, match="holds files and no export of ours"):
        export(planted, "clam", tmp_path)
    with pytest.raises(BagError, match="is a file; choose another"):
        export(planted, "clam", tmp_path / "notes.txt")


def test_the_summary_tells_files_hashes_and_counts(own_archive: Path, tmp_path: Path) -> None:
    set_status(Archive.open(str(own_archive))["quarter"], 2, 2)
    out = tmp_path / "out"
    summary = export(own_archive, "clam", out)
    there = {path for path in contents(out) if path != "microtome.json"}
    assert set(summary["files"]) == there
    for name, entry in summary["files"].items():
        assert (out / name).stat().st_size == entry["bytes"]
        assert writing.digest(out / name) == entry["sha256"]
    about = {s["facts"]["slide_id"]: s["about"] for s in summary["slides"]}
    assert (about["quarter"]["unreadable"], about["quarter"]["left_out"]) == (1, 1)
    assert summary["unreadable"] == 1
    assert summary["encoder"]["card"]["name"] == ENCODER
    assert len(summary["config_hash"]) == 16


def test_unreadable_rows_are_kept_on_request(own_archive: Path, tmp_path: Path) -> None:
    set_status(Archive.open(str(own_archive))["quarter"], 2, 2)
    export(own_archive, "clam", tmp_path / "a", slide_ids=["quarter"])
    export(own_archive, "clam", tmp_path / "b", slide_ids=["quarter"], keep_unreadable=True)
    rows = [
        len(torch.load(tmp_path / part / "pt_files" / "quarter.pt", weights_only=True))
        for part in "ab"
    ]
    assert rows == [19, 20]


def test_two_formats_hold_the_same_rows_at_the_same_places(planted: Path, tmp_path: Path) -> None:
    for name in ("clam", "slide2vec"):
        export(planted, name, tmp_path / name)
    for slide_id in (name for name in SLIDES if name != "empty"):
        with h5py.File(tmp_path / "clam" / "h5_files" / f"{slide_id}.h5") as file:
            one = dict(
                zip(map(tuple, file["coords"][:].tolist()), file["features"][:], strict=True)
            )
        tiles, rows = tmp_path / "slide2vec" / "tiles", tmp_path / "slide2vec" / "tile_embeddings"
        tensor = torch.load(rows / f"{slide_id}.pt", weights_only=True).numpy()
        with np.load(tiles / f"{slide_id}.coordinates.npz") as file:
            places = list(zip(file["x"].tolist(), file["y"].tolist(), strict=True))
        assert len(places) == len(one)
        assert all(np.array_equal(one[at], row) for at, row in zip(places, tensor, strict=True))


def full(archive: Path, name: str, out: Path) -> None:
    """Export where no file can grow beyond 2 kB; ends this process with 0 if that was told."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    try:
        export_folder(archive, name, out, slide_ids=["odd"])
    except BagError as err:
        os._exit(0 if str(err).startswith("cannot write") and "\n" not in str(err) else 1)
    os._exit(2)


@pytest.mark.parametrize("name", OURS)
def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(
    planted: Path, tmp_path: Path, name: str
) -> None:
    child = os.fork()
    if child == 0:
        full(planted, name, tmp_path / "out")
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status), "HDF5 crashes a process whose disk is full"
    assert os.WEXITSTATUS(status) == 0
    left = contents(tmp_path / "out")
    assert not any(path.endswith((".pt", "features/odd.h5")) for path in left)
    assert not any(Path(path).name.endswith(".tmp") for path in left)
    assert "microtome.json" not in left


def test_a_damaged_summary_is_named(planted: Path, tmp_path: Path) -> None:
    export(planted, "clam", tmp_path / "out", slide_ids=["quarter"])
    (tmp_path / "out" / "microtome.json").write_text("{")
    with pytest.raises(BagError, match=r"microtome\.json is damaged: "):
        export(planted, "clam", tmp_path / "out")


def test_memory_does_not_grow_with_the_slide(tmp_path: Path) -> None:
    rows, dim = 210_000, 256
    words = [sys.executable, "-m", "tests.models.bags.large", f"{tmp_path},{rows},{dim}"]
    ran = subprocess.run([*words, "clam", "slide2vec"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    peaks = {line.split()[0]: int(line.split()[1]) for line in ran.stdout.splitlines()}
    assert set(peaks) == {"clam", "slide2vec"}
    assert max(peaks.values()) < rows * dim * 4 / 2


def test_the_folder_is_not_finished_before_its_summary(planted: Path, tmp_path: Path) -> None:
    folder = export_folder(planted, "clam", tmp_path / "out")
    assert not folder.is_finished
    assert isinstance(folder, ExportFolder)
    assert len(folder.records()) == len(SLIDES)
