"""The README does what it says: its Python block and its commands run as they stand."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^    microtome (.*?)(?:\s+#.*)?$", README, re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> Path:
    """A folder as the README has it: slides/, slide.svs, slides.csv, demo/archive.zarr."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "slides").mkdir()
    for name in ("slides/a.svs", "slide.svs"):
        (folder / name).write_bytes(cmu_slide.read_bytes())
    (folder / "slides.csv").write_text("slide_id,path,patient\none,slides/a.svs,p1\n")
    demo = "tile slide.svs --out demo/archive.zarr --mpp native --patch-size 240 --quiet"
    assert run(folder, demo).returncode == 0
    return folder


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "workflows.cli", *shlex.split(command)]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)


def test_there_are_commands_to_try() -> None:
    assert len(COMMANDS) >= 9


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_runs(place: Path, command: str) -> None:
    if command.startswith("tile"):
        number = COMMANDS.index(command)
        command = command.replace("archive.zarr", f"archive-{number}.zarr")
    else:
        command = command.replace("archive.zarr", "demo/archive.zarr")
    done = run(place, command)
    assert done.returncode == 0, done.stderr


def test_the_python_block_runs(place: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=place, capture_output=True, text=True, check=True
    )
    assert "(8, 240, 240, 3)" in done.stdout


def test_every_file_that_it_names_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
