"""Slides that are small and yet take several shards, what they become undisturbed, and workers."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from tests.tiling.faults.harness import EPOCH, Slides, assert_committed_is_whole, sources, started
from tiling.outcome import RunSummary
from tiling.request import CutOptions
from tiling.store import Archive
from tiling.tiler import run
from tiling.tissue import TissueOptions
from workflows.cluster import starting_client
from wsi.synthetic import SvsSpec, write_svs

OPTIONS = CutOptions(
    mpp=0.5,
    # a shard has room for eleven of these as raw pixels, so that a small slide fills two
    patch_size_px=1200,
    stride_px=440,
    encoding="lossless",
    min_tissue=0.0,
    tissue=TissueOptions(thumbnail_px=256),
)

COPYING = CutOptions(mpp=None, patch_size_px=256, tissue=TissueOptions(thumbnail_px=256))

Cut = Callable[..., RunSummary]


@pytest.fixture(autouse=True)
def epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)


@pytest.fixture(scope="session")
def slides(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> dict[str, str]:
    """The bundled slide, which takes two shards, and two small ones; one is cut at half its mpp."""
    folder = tmp_path_factory.mktemp("slides")
    specs = {
        "copied": SvsSpec(mpp=0.5, seed=1, downsamples=(1, 4), with_associated=False),
        "reduced": SvsSpec(mpp=0.25, seed=2, downsamples=(1, 4), with_associated=False),
    }
    for name, size in (("copied", 1500), ("reduced", 3000)):
        write_svs(folder / f"{name}.svs", cmu_slide, size, specs[name])
    paths = {name: str(folder / f"{name}.svs") for name in specs}
    return {"bundled": str(cmu_slide)} | paths


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory, slides: Slides) -> Path:
    """The archive of an undisturbed run of all slides with one worker."""
    archive = tmp_path_factory.mktemp("reference") / "a.zarr"
    with started(archive, slides, OPTIONS, workers=1) as undisturbed:
        assert {o["state"] for o in undisturbed.finish()} == {"done"}
    assert assert_committed_is_whole(archive) == sorted(slides)
    assert (archive / "bundled/patches/c/1/0/0/0").exists()
    return archive


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Two workers that live as long as a module's tests."""
    with starting_client(2, None) as waiting:
        yield waiting()


@pytest.fixture
def cut(client: Client) -> Cut:
    """Run in this process, on living workers."""

    def cut(
        archive: Path | str, slides: Slides, options: CutOptions = OPTIONS, **more: Any
    ) -> RunSummary:
        opened = Archive.create(os.fspath(archive))
        return run(sources(slides), options, opened, client, **more)

    return cut
