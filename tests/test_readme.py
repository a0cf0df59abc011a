"""The README does what it says: its Python block and its commands run as they stand."""

import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
import zarr
from PIL import Image

from tests.workflows.segmenting.tissues import import_set, write_set

pytestmark = pytest.mark.timeout(900)  # whole walks, each of several commands

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^    microtome (.*?)(?:\s+#.*)?$", README, re.MULTILINE)
BLOCKS = [
    re.findall(r"^    microtome (.*?)(?:\s+#.*)?$", block, re.MULTILINE)
    for block in README.split("\n\n")
]
TO_BAGS, LEARNING, PRETRAINING = (
    block for block in BLOCKS if any(c.startswith("embed") for c in block)
)
(TISSUE,) = (block for block in BLOCKS if any(c.startswith("segment") for c in block))
(SERVING,) = (block for block in BLOCKS if any(c.startswith("serve") for c in block))
TOGETHER = TO_BAGS + LEARNING + PRETRAINING + TISSUE + SERVING
ALONE = [command for command in COMMANDS if command not in TOGETHER]
TISSUE_FILE = """
archives = ["tissue.zarr"]
out = "runs/tissue"
[classify]
backbone = "test_resnet"
init = "random"
epochs = 1
[train]
architecture = "unet"
encoder = "tu-test_resnet"
epochs = 1
"""


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
    assert len(ALONE) >= 9


@pytest.mark.parametrize("command", ALONE)
def test_every_command_runs(place: Path, command: str) -> None:
    if command.startswith("tile"):
        number = COMMANDS.index(command)
        command = command.replace("archive.zarr", f"archive-{number}.zarr")
    else:
        command = command.replace("archive.zarr", "demo/archive.zarr")
    done = run(place, command)
    assert done.returncode == 0, done.stderr


# no network in tests: random weights instead of the published ones; and little time
SHORTER = {
    "embed archive.zarr --encoder resnet50": "--weights random:0 --precision float32",
    "embed patches.zarr --encoder resnet50": "--weights random:0 --precision float32",
    "mil train": "--epochs 3",
    "pretrain": "--encoder resnet10t --init random --input-px 32 --batch 16 --epochs 1",
}


def run_in_order(folder: Path, commands: list[str]) -> None:
    for command in commands:
        more = [words for start, words in SHORTER.items() if command.startswith(start)]
        done = run(folder, " ".join([command, *more, "--quiet"]))
        assert done.returncode == 0, done.stderr


def test_slides_become_bags_in_three_commands(tmp_path: Path, cmu_slide: Path) -> None:
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "a.svs").write_bytes(cmu_slide.read_bytes())
    assert [command.partition(" ")[0] for command in TO_BAGS] == ["tile", "embed", "export"]
    run_in_order(tmp_path, TO_BAGS)
    bag = torch.load(tmp_path / "bags" / "pt_files" / "a.pt", weights_only=True)
    archive = zarr.open_group(tmp_path / "archive.zarr", mode="r")
    assert bag.shape == (archive["a/coords"].shape[0], 2048)


def test_patches_teach(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = ["file,patient,label,split,slide_label"]
    for number in range(40):
        kind = ("pale", "dark")[number % 2]
        pixels = rng.integers(150 * (kind == "pale"), 100 + 150 * (kind == "pale"), (224, 224, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{number}.jpg")
        split = "test" if number < 16 else "train"
        rows.append(f"{number}.jpg,p{number},{kind},{split},{kind}")
    (tmp_path / "patches.csv").write_text("\n".join(rows))
    run_in_order(tmp_path, LEARNING)
    assert (tmp_path / "probe" / "report.html").exists()
    maps = zarr.open_group(tmp_path / "patches.zarr", mode="r")["p0/maps"]
    assert len(list(maps.group_keys())) >= 1


def test_patches_teach_an_encoder_that_embeds_them(place: Path) -> None:
    commands = [c.replace(" archive.zarr", " demo/archive.zarr") for c in PRETRAINING]
    run_in_order(place, commands)
    (made,) = (place / "demo" / "archive.zarr").glob("*/embeddings/resnet10t-srcl")
    assert zarr.open_array(made, mode="r").shape[1] == 512


def test_labels_of_patches_become_a_map_of_a_slide(tmp_path: Path, cmu_slide: Path) -> None:
    import_set(write_set(tmp_path / "files"), tmp_path / "tissue.zarr")
    (tmp_path / "tissue.toml").write_text(TISSUE_FILE)
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "a.svs").write_bytes(cmu_slide.read_bytes())
    run_in_order(tmp_path, TISSUE)
    assert list((tmp_path / "maps" / "a").glob("*.geojson"))


def test_the_service_serves_and_gives_tokens(tmp_path: Path, cmu_slide: Path) -> None:
    (tmp_path / "slides").mkdir()
    shutil.copy(cmu_slide, tmp_path / "slides")
    serve, create = SERVING
    words = [sys.executable, "-m", "workflows.cli", *shlex.split(serve), "--port", "0"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            url = serving.stdout.readline().split()[-1]
            body = {"path": cmu_slide.name}
            assert httpx.post(f"{url}/api/v1/slides", json=body, timeout=60).status_code == 201
            made = run(tmp_path, create)
            assert made.returncode == 0, made.stderr
            (token,) = re.findall(r"mt_[\w-]+", made.stdout)
            deadline = time.monotonic() + 30
            while httpx.get(f"{url}/api/v1/slides").status_code != 401:  # the door is closed now
                assert time.monotonic() < deadline
                time.sleep(0.1)
            headers = {"Authorization": f"Bearer {token}"}
            (found,) = httpx.get(f"{url}/api/v1/slides", headers=headers).json()["items"]
            assert found["id"] == cmu_slide.stem
        finally:
            serving.terminate()
        assert serving.wait(60) == 0


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
