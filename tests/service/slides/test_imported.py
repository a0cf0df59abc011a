"""Slides of archives that were imported: from patches, or from volumes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from service.app import create_app
from tests.service.conftest import opened
from tests.service.slides.conftest import Pixels, decoded, psnr
from tests.tiling.importing.test_volumes import numbers, write
from tiling.store import Archive
from workflows import import_patches, import_volumes
from workflows.import_patches import ImportPatchesConfig
from workflows.import_volumes import ImportVolumesConfig
from workflows.serve import ServeConfig

SKIN = Path(__file__).parents[2] / "data" / "skin"


def import_skin(archive: Path) -> None:
    """As `microtome import patches tests/data/skin/patches.csv --labels column:…`."""
    labels = "column:dermis,epidermis,keratin"
    config = ImportPatchesConfig(source=str(SKIN / "patches.csv"), out=str(archive), labels=labels)
    import_patches.run(config, lambda _: None)


def import_without_mpp(archive: Path) -> None:
    folder = archive.parent / "pictures" / "benign"
    folder.mkdir(parents=True)
    for number in range(3):
        pixels = np.full((32, 32, 3), 60 * number + 40, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    config = ImportPatchesConfig(source=str(folder.parent), out=str(archive))
    import_patches.run(config, lambda _: None)


def import_a_volume(archive: Path) -> None:
    write(archive.parent / "volumes" / "v.nii.gz", numbers("uint8"))
    config = ImportVolumesConfig(source=str(archive.parent / "volumes"), out=str(archive))
    import_volumes.run(config, lambda _: None)


KINDS = {"skin": import_skin, "plain": import_without_mpp, "volume": import_a_volume}


@pytest.mark.parametrize("kind", KINDS)
def test_an_imported_slide_is_listed_described_and_shown(work: Path, kind: str) -> None:
    place = work / "imported.zarr"
    KINDS[kind](place)
    archive = Archive.open(str(place))
    store = archive[next(iter(archive.slide_ids()))]
    # the sources lie under an allowed folder, and are no slides all the same
    with opened(create_app(ServeConfig(work=str(work), slides=str(SKIN), jobs=0))) as client:
        check(client, store.slide_id, store.thumbnail)
        found = client.get(f"/api/v1/slides/{store.slide_id}").json()
        grid = client.get(f"/api/v1/slides/{store.slide_id}/patches").json()
    (held,) = found["archives"]
    assert grid["patch_size_px"] == held["patch_size_px"] == store.attributes["patch_size_px"]
    assert (held["patches"], grid["count"]) == (len(store), len(store))
    if kind == "skin":
        assert (held["patch_size_px"], held["mpp"]) == (64, [0.998, 0.998])
        assert found["resolution"]["x"] == found["mpp"] == 0.998
    if kind == "plain":
        assert (held["patch_size_px"], held["mpp"], grid["mpp"]) == (32, None, None)
        assert found["mpp"] is found["resolution"] is None
    if kind == "volume":
        assert held["patch_size_px"] is None


def check(client: TestClient, slide_id: str, thumbnail: Pixels) -> None:
    """It is in all lists, has no pixels, and its thumbnail is the archive's."""
    items = client.get("/api/v1/slides").json()["items"]
    assert {one["id"]: one["pixels"] for one in items}[slide_id] is False
    assert {one["name"] for one in client.get("/api/v1/archives").json()} >= {"imported.zarr"}
    answer = client.get(f"/api/v1/slides/{slide_id}/thumbnail?max_px=2048")
    assert answer.status_code == 200, answer.text
    assert psnr(decoded(answer.content), thumbnail) > 20
    assert client.get(f"/api/v1/slides/{slide_id}.dzi").status_code == 404
    assert client.get(f"/api/v1/slides/{slide_id}/patches/0.jpeg").status_code == 200
