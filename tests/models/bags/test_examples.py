"""The examples of docs/formats.md run as they stand, on the planted archive."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.bags.table import FORMATS
from tests.models.bags.planted import ENCODER
from workflows import cli

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
SECTIONS = {part.splitlines()[0]: part for part in re.split(r"^## ", PAGE, flags=re.M)[1:]}
EXAMPLES = [name for name, part in SECTIONS.items() if "```python" in part]


# ome-zarr, imported by spatialdata, makes an object of a class that it calls deprecated itself
@pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler")
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_can_be_pasted(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(planted, "archive.zarr")
    commands = re.findall(r"^    microtome (export .*)$", SECTIONS[name], re.M)
    assert commands
    for command in commands:
        assert cli.run(shlex.split(command.replace("resnet50", ENCODER))) == 0
    for block in re.findall(r"```python\n(.*?)```", SECTIONS[name], re.S):
        for package in re.findall(r"^(?:import|from) (\w+)", block, re.M):
            pytest.importorskip(package)
        words = [sys.executable, "-c", block]
        ran = subprocess.run(words, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert "quarter" in ran.stdout
        assert "single" in ran.stdout


def test_every_format_is_on_the_page() -> None:
    assert [name for name in FORMATS if f"`{name}`" not in PAGE] == []
