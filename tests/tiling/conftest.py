"""Small slides of real tissue, and archives of them in every encoding."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from tests.tiling.archives import cut
from tiling.cut import _open
from tiling.store import PatchStore
from wsi.synthetic import SvsSpec, write_svs

ENCODINGS = {
    "passthrough-jpeg": {"encoding": "auto"},
    "jpeg:95": {"encoding": "jpeg:95", "mpp": 0.5, "patch_size_px": 96},
    "jpeg:95:420": {"encoding": "jpeg:95:420", "stride_px": 200},
    "lossless": {"encoding": "lossless", "patch_size_px": 100},
    "raw": {"encoding": "raw", "patch_size_px": 96, "stride_px": 80, "pad_edges": True},
}
"""What is asked of the tiler for each way to store patches."""


@pytest.fixture(scope="session", autouse=True)
def _close_slides() -> Iterator[None]:
    """Close what shards kept open: here the worker is this process."""
    yield
    while _open:
        _open.popitem()[1].close()


@pytest.fixture(scope="session")
def tissue_pixels(cmu_slide: Path) -> npt.NDArray[np.uint8]:
    """The bundled slide where it is densest, u1 (640, 640, 3); nearly all of it is tissue."""
    whole = np.asarray(tifffile.imread(cmu_slide, key=0))
    return np.ascontiguousarray(whole[704:1344, 960:1600])


@pytest.fixture(scope="session")
def svs(tmp_path_factory: pytest.TempPathFactory, tissue_pixels: npt.NDArray[np.uint8]) -> Path:
    """1100 x 900 px, 0.25 um/px, JPEG tiles of 128 px that share their tables; levels 1 and 4."""
    path = tmp_path_factory.mktemp("svs") / "made.svs"
    spec = SvsSpec(tile_px=128, mpp=0.25, downsamples=(1, 4), tissue_fraction=0.8)
    write_svs(path, tissue_pixels, (1100, 900), spec)
    return path


@pytest.fixture(scope="session")
def tcga_slide(slides_folder: Path) -> Path:
    """A real slide of JPEG 2000 tiles of 256 px, without microns per pixel."""
    return slides_folder / "TCGA-CR-7395-01A-01-TS1.svs"


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, svs: Path) -> Path:
    """The made slide once per entry of `ENCODINGS`, under that name; not to be changed."""
    path = tmp_path_factory.mktemp("archive") / "a.zarr"
    for name, changes in ENCODINGS.items():
        cut(path, svs, name.replace(":", "-"), **changes)
    return path


@pytest.fixture
def store(tmp_path: Path, svs: Path) -> PatchStore:
    """An archive of its own with the made slide, copied; to be damaged."""
    return cut(tmp_path / "a.zarr", svs)
