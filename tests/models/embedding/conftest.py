"""A slide with 49 patches of 160 px, and a small network of timm for such patches."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from models.embedding import worker
from models.encoders import Encoder, open_encoder
from tests.tiling.archives import cut
from tiling.store import Archive, PatchStore
from wsi.synthetic import SvsSpec, write_svs


@pytest.fixture(scope="session")
def svs(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> Path:
    """1120 px of the bundled slide's tissue."""
    path = tmp_path_factory.mktemp("embedded") / "s.svs"
    write_svs(path, cmu_slide, 1120, SvsSpec(mpp=0.5, with_associated=False))
    return path


@pytest.fixture(scope="session")
def made(svs: Path) -> Path:
    """An archive with slides `one`, of 49 patches, and `none`, of none; not to be changed."""
    archive = svs.parent / "a.zarr"
    cut(archive, svs, "one", patch_size_px=160, encoding="raw")
    cut(archive, svs, "none", patch_size_px=160, min_tissue=1.1)
    return archive


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> Archive:
    """A copy of it, for a test to change."""
    return Archive.open(str(shutil.copytree(made, tmp_path / "a.zarr")))


@pytest.fixture
def store(made: Path) -> PatchStore:
    return Archive.open(str(made))["one"]


@pytest.fixture
def encoder() -> Encoder:
    return open_encoder("test_resnet", "random:0")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is loaded yet; and one thread, for networks as small as these wait more than work."""
    monkeypatch.setattr(worker, "_loaded", worker._Loaded())
    monkeypatch.setattr(worker, "cores", lambda: 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
