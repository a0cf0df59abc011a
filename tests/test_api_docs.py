"""The walk-through of docs/api.md does what it says, on a process that is really started."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
import torch
from PIL import Image

from tests.service.conftest import serving
from tests.workflows.mapping.trained import make_run
from wsi import open_slide
from wsi.geometry import Point, Region, Size

PAGE = (Path(__file__).parent.parent / "docs" / "api.md").read_text()
START, *SHELL = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
PYTHON = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
HERE = ' "resnet50"', ' "resnet50", "weights": "random:0", "precision": "float32"'
"""No network in tests: random weights instead of the published ones."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> Path:
    """A folder as the page has it."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "slides").mkdir()
    shutil.copyfile(cmu_slide, folder / "slides" / cmu_slide.name)
    (folder / "work" / "runs").mkdir(parents=True)
    with open_slide(cmu_slide) as slide:
        corners = [(x, y) for x in (200, 900, 1500) for y in (300, 1100, 2200)]
        areas = [Region(Point(*corner), 0, Size(64, 64)) for corner in corners]
        pixels = torch.stack([torch.from_numpy(slide.read_region(area)) for area in areas])
    make_run(folder / "work" / "runs" / "tissue", pixels, mpp=2.0)
    return folder


@pytest.fixture(scope="module")
def known(place: Path) -> Iterator[dict[str, str]]:
    """The environment of the page: the service runs, `URL` and `TOKEN` are set."""
    create, serve = (shlex.split(line)[1:] for line in START.strip().splitlines())
    command = [sys.executable, "-m", "workflows.cli"]
    made = subprocess.run(
        [*command, *create, "--json"], cwd=place, capture_output=True, text=True, check=True
    )
    assert serve[0] == "serve"
    places = [str(place / word) if word in ("work", "slides") else word for word in serve[1:]]
    with serving(*places, "--workers", 1, log=place / "log") as url:
        yield dict(os.environ, URL=url, TOKEN=json.loads(made.stdout)["token"])


@pytest.mark.timeout(900)  # three jobs, each in processes of its own
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_page_does_what_it_says(place: Path, known: dict[str, str]) -> None:
    script = "set -euo pipefail\n" + "".join(SHELL)
    script = script.replace('"encoder":' + HERE[0], '"encoder":' + HERE[1])
    script = script.replace("curl -sS", "curl --fail-with-body -sS")
    walked = subprocess.run(
        ["bash", "-c", script], cwd=place, env=known, capture_output=True, text=True, check=False
    )
    assert walked.returncode == 0, walked.stdout + walked.stderr
    assert '"state":"succeeded"' in walked.stdout
    for name in ("thumbnail.jpg", "region.jpg", "tissue.png"):
        with Image.open(place / name) as image:
            image.load()
    with h5py.File(place / "embeddings.h5") as file:
        assert file["features"].shape[-1] == 2048
    assert json.loads((place / "tissue.geojson").read_text())
    assert "tumour" in (place / "areas.csv").read_text()

    ran = subprocess.run(
        [sys.executable, "-c", "\n".join(PYTHON)],
        cwd=place,
        env=known | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "succeeded" in ran.stdout
    assert "422 slides: there is no slide 'nothing'" in ran.stdout
    assert (place / "map.png").exists()


def test_there_is_something_to_run() -> None:
    assert len(SHELL) >= 6
    assert len(PYTHON) >= 3
