"""kill -9 at any step: what is visible is whole, and the next run ends as if nothing had been."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributed import Client

from tests.tiling.archives import cut
from tests.tiling.faults.harness import EPOCH, PATIENCE_S, assert_same, environment
from tests.tiling.faults.test_workers import dask
from tests.workflows.conftest import Microtome
from tiling.embeddings import embedding_ids
from tiling.store import Archive
from tiling.verify import verify_store
from workflows import cli
from wsi.synthetic import SvsSpec, write_svs

SCRIPT = Path(__file__).with_name("embedding_run.py")
WORDS = ("--encoder", "test_resnet", "--weights", "random:0", "--precision", "float32", "--quiet")

STEPS = {
    "before a shard": ("c/0/0", "before"),
    "within a shard": ("c/0/0", "within"),
    "after a shard": ("c/0/0", "after"),
    "within the group's document": ("a/embeddings/zarr.json", "within"),
    "before the commit": ("b/embeddings/test_resnet/zarr.json", "before"),
    "after the commit": ("b/embeddings/test_resnet/zarr.json", "after"),
}


@pytest.fixture(autouse=True)
def epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> Path:
    """Slides `a` and `b` of 16 and 9 patches, without embeddings; not to be changed."""
    folder = tmp_path_factory.mktemp("to-embed")
    for name, side in (("a", 640), ("b", 480)):
        write_svs(folder / f"{name}.svs", cmu_slide, side, SvsSpec(mpp=0.5, with_associated=False))
        cut(folder / "a.zarr", folder / f"{name}.svs", name, patch_size_px=160, encoding="raw")
    return folder / "a.zarr"


Embed = Callable[[Path], None]


@pytest.fixture
def embed(microtome: Microtome, scheduler: str) -> Embed:
    """An undisturbed run on the session's worker."""

    def run(archive: Path, *words: str) -> None:
        ran = microtome("embed", archive, *WORDS, *words, "--scheduler", scheduler)
        assert ran.code == 0, ran.err

    return run


@pytest.fixture(scope="module")
def reference(
    fresh: Path, tmp_path_factory: pytest.TempPathFactory, scheduler: str
) -> Iterator[Path]:
    """What a run that nothing happens to leaves behind."""
    archive = shutil.copytree(fresh, tmp_path_factory.mktemp("reference") / "a.zarr")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SOURCE_DATE_EPOCH", EPOCH)
        assert cli.run(["embed", str(archive), *WORDS, "--scheduler", scheduler]) == 0
        yield archive


@contextlib.contextmanager
def started(*words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A run as a process group of its own; nothing of it is left behind."""
    run = subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    try:
        yield run
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()


def end_of(archive: Path, where: tuple[str, ...], *words: str) -> tuple[int, str]:
    """Let a run die at a step (key, moment, file that says that it died); its code and errors."""
    request = json.dumps(dict(zip(("key", "moment", "alone"), where, strict=False)))
    with started(SCRIPT, request, archive, *WORDS, *words) as run:
        error = run.communicate(timeout=PATIENCE_S)[1]
        return run.returncode, error


def assert_visible_is_whole(archive: Path) -> None:
    for store in Archive.open(str(archive)).stores():
        assert verify_store(store) == []


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_run_is_finished_by_the_next(
    step: str, fresh: Path, reference: Path, tmp_path: Path, embed: Embed
) -> None:
    archive = shutil.copytree(fresh, tmp_path / "a.zarr")
    code, error = end_of(archive, STEPS[step])
    assert code == -signal.SIGKILL, error
    assert_visible_is_whole(archive)
    opened = Archive.open(str(archive))
    assert embedding_ids(opened["b"]) == (["test_resnet"] if step == "after the commit" else [])
    embed(archive)
    assert_same(archive, reference)
    assert_visible_is_whole(archive)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "within", "after"])
def test_a_run_goes_on_when_a_worker_is_killed(
    moment: str, fresh: Path, reference: Path, tmp_path: Path
) -> None:
    archive = shutil.copytree(fresh, tmp_path / "a.zarr")
    code, error = end_of(archive, ("c/0/0", moment, str(tmp_path / "died")))
    assert code == 0, error
    assert (tmp_path / "died").exists()
    assert_same(archive, reference)


@pytest.mark.slow
def test_replacing_is_all_or_nothing(
    fresh: Path, tmp_path: Path, embed: Embed, reference: Path
) -> None:
    archive = shutil.copytree(fresh, tmp_path / "a.zarr")
    embed(archive, "--dtype", "float32")
    step = ("b/embeddings/test_resnet/zarr.json", "within")
    assert end_of(archive, step, "--overwrite")[0] == -signal.SIGKILL
    assert_visible_is_whole(archive)
    embed(archive, "--overwrite")
    assert_same(archive, reference)


@pytest.mark.slow
def test_two_runs_share_an_archive(fresh: Path, reference: Path, tmp_path: Path) -> None:
    archive = shutil.copytree(fresh, tmp_path / "a.zarr")
    command = ("-m", "workflows.cli", "embed", archive, *WORDS, "--json")
    with started(*command) as one, started(*command) as other:
        documents = [json.loads(run.communicate(timeout=PATIENCE_S)[0]) for run in (one, other)]
    states = [document["slides"] for document in documents]
    assert sum(state["done"] for state in states) == 2
    assert sum(state["skipped"] for state in states) == 2
    assert_same(archive, reference)


@pytest.fixture
def gpu_cluster(tmp_path: Path) -> Iterator[str]:
    """`dask scheduler` with a plain worker and one that says that it has a GPU."""
    file = ["--scheduler-file", str(tmp_path / "scheduler.json")]
    more = [*file, "--host", "127.0.0.1", "--no-dashboard"]
    worker = ["worker", *more, "--nthreads", "1", "--local-directory", str(tmp_path)]
    with (
        dask("scheduler", *more, "--port", "0"),
        dask(*worker, "--name", "plain"),
        dask(*worker, "--name", "gpu", "--resources", "GPU=1"),
        Client(scheduler_file=file[1], timeout=60, set_as_default=False) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        yield client.scheduler.address


@pytest.mark.slow
def test_workers_with_a_gpu_get_all_the_work(
    gpu_cluster: str, fresh: Path, reference: Path, tmp_path: Path, microtome: Microtome
) -> None:
    archive = shutil.copytree(fresh, tmp_path / "a.zarr")
    ran = microtome("embed", archive, *WORDS, "--scheduler", gpu_cluster, "--json")
    assert ran.code == 0, ran.err
    assert ran.document["workers"] == 1
    if ran.document["setting"]["device"] == "cpu":
        assert "torch finds no CUDA device there" in ran.document["notes"][0]
        assert_same(archive, reference)
    with Client(gpu_cluster, set_as_default=False) as client:
        modules = client.run(_has_torch)
        names = {w: info["name"] for w, info in client.scheduler_info(-1)["workers"].items()}
    assert {names[worker]: found for worker, found in modules.items()} == {
        "plain": False,
        "gpu": True,
    }


def _has_torch() -> bool:
    return "models.embedding.forward" in sys.modules
