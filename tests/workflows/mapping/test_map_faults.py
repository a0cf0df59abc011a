"""kill -9 at any step: no half of a map is seen, and the next run ends as if nothing had been."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from tests.tiling.faults.harness import EPOCH, PATIENCE_S, assert_same
from tests.workflows.mapping.map_run import SHARD_BYTES
from tests.workflows.mapping.test_map import NAME
from tests.workflows.test_embed_faults import started
from tiling.maps import map_names
from tiling.store import Archive
from workflows import cli
from workflows.mapping import segmented

SCRIPT = Path(__file__).with_name("map_run.py")
MORE = ("--slide", "a", "--batch", "3", "--quiet")

STEPS = {
    "before a shard of the third band": (r"probabilities/c/0/2/0", "before"),
    "within a shard": (r"classes/c/3/0", "within"),
    "after the note of a band": (r"\.writing/band-000003\.json", "after"),
    "before the commit": (rf"maps/{NAME}/zarr\.json", "before"),
    "after the commit": (rf"maps/{NAME}/zarr\.json", "after"),
}


@pytest.fixture(autouse=True)
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    monkeypatch.setattr(segmented, "MAP_SHARD_BYTES", SHARD_BYTES)


def go_on(archive: Path, trained: Path, scheduler: str) -> int:
    """Run to the end in this process, on the session's worker."""
    return cli.run(["map", str(archive), "--model", str(trained), *MORE, "--scheduler", scheduler])


@pytest.fixture(scope="module")
def reference(
    cut_slides: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory, scheduler: str
) -> Path:
    """What a run that nothing happens to leaves behind."""
    archive = shutil.copytree(cut_slides, tmp_path_factory.mktemp("reference") / "a.zarr")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(segmented, "MAP_SHARD_BYTES", SHARD_BYTES)
        assert go_on(archive, trained, scheduler) == 0
    return archive


def end_of(archive: Path, trained: Path, where: tuple[str, ...]) -> tuple[int, str]:
    """Let a run die at a step; its code and errors."""
    request = json.dumps(dict(zip(("key", "moment", "alone"), where, strict=False)))
    with started(SCRIPT, request, archive, "--model", trained, *MORE) as run:
        error = run.communicate(timeout=PATIENCE_S)[1]
        return run.returncode, error


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_run_is_finished_by_the_next(
    step: str, archive: Path, trained: Path, reference: Path, scheduler: str
) -> None:
    code, error = end_of(archive, trained, STEPS[step])
    assert code == -signal.SIGKILL, error
    seen = map_names(Archive.open(str(archive))["a"])
    assert seen == ([NAME] if step == "after the commit" else [])
    assert go_on(archive, trained, scheduler) == 0
    assert_same(archive, reference)


@pytest.mark.slow
def test_a_run_goes_on_when_its_worker_is_killed(
    archive: Path, trained: Path, reference: Path, tmp_path: Path
) -> None:
    where = (r"probabilities/c/0/2/0", "before", str(tmp_path / "died"))
    code, error = end_of(archive, trained, where)
    assert code == 0, error
    assert (tmp_path / "died").exists()
    assert_same(archive, reference)


@pytest.mark.slow
def test_two_runs_at_once_make_every_map_once(
    archive: Path, trained: Path, reference: Path
) -> None:
    words = (SCRIPT, "{}", archive, "--model", trained, *MORE, "--json")
    with started(*words) as one, started(*words) as other:
        documents = [json.loads(run.communicate(timeout=PATIENCE_S)[0]) for run in (one, other)]
    states = sorted(document["slides"]["done"] for document in documents)
    assert states == [0, 1]
    assert_same(archive, reference)


@pytest.mark.slow
def test_what_another_run_left_half_written_is_a_conflict(
    archive: Path, trained: Path, scheduler: str
) -> None:
    assert end_of(archive, trained, STEPS["within a shard"])[0] == -signal.SIGKILL
    words = ["map", str(archive), "--model", str(trained), *MORE, "--scheduler", scheduler]
    assert cli.run([*words, "--no-gate"]) == 3
    assert map_names(Archive.open(str(archive))["a"]) == []
    assert cli.run([*words, "--no-gate", "--overwrite"]) == 0
    assert map_names(Archive.open(str(archive))["a"]) == [NAME]
