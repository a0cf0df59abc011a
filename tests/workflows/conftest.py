"""One archive and one Dask cluster for all tests of workflows: starting them is what takes time."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workflows import cli
from workflows.cluster import starting_client


@dataclass(frozen=True)
class Ran:
    """What came of a command line."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """What `--json` printed; one object and nothing else."""
        found: dict[str, Any] = json.loads(self.out)
        return found


Microtome = Callable[..., Ran]


@pytest.fixture
def microtome(capfd: pytest.CaptureFixture[str]) -> Microtome:
    """Run a command line in this process."""

    def run(*words: object) -> Ran:
        capfd.readouterr()
        code = cli.run([str(word) for word in words])
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """Address of a Dask scheduler with one worker."""
    with starting_client(1, None) as client:
        yield str(client().scheduler_info()["address"])


@pytest.fixture(scope="session")
def tiled(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path, scheduler: str) -> Path:
    """The bundled slide cut along its own tiles; not to be changed."""
    archive = tmp_path_factory.mktemp("tiled") / "archive.zarr"
    words = ["tile", cmu_slide, "--out", archive, "--patch-size", 240, "--scheduler", scheduler]
    assert cli.run([str(word) for word in words]) == 0
    return archive


@pytest.fixture
def archive(tiled: Path, tmp_path: Path) -> Path:
    """A copy of the archive and of what lies beside it, for a test to change."""
    for path in tiled.parent.iterdir():
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, tmp_path / path.name)
    return tmp_path / tiled.name
