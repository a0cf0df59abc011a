"""`microtome partition` as a person runs it."""

from pathlib import Path

import pytest

from tests.tiling.importing.pictures import picture, save, write_csv
from tests.workflows.conftest import Microtome
from tiling.labels import read_partition
from tiling.store import Archive

PLACES = {"s0": 3, "s1": 1.5, "s2": 2, "s3": 9}


@pytest.fixture
def archive(microtome: Microtome, tmp_path: Path) -> Path:
    """Sections of one block and a slide of another, two patches each, in no order."""
    rows = []
    for i, name in enumerate([*PLACES, "other"] * 2):
        save(tmp_path / "in" / f"{i}.jpg", picture(i))
        rows.append({"file": f"{i}.jpg", "slide": name, "patient": "q" if name == "other" else "p"})
    table = write_csv(tmp_path / "in" / "set.csv", rows)
    ran = microtome("import", "patches", table, "--out", tmp_path / "a.zarr", "--quiet")
    assert ran.code == 0, ran.err
    return tmp_path / "a.zarr"


def manifest(folder: Path, **changes: str) -> Path:
    rows = [
        {"slide_id": name, "patient": "p", "depth": changes.get(name, str(place))}
        for name, place in PLACES.items()
    ]
    return write_csv(folder / "manifest.csv", rows)


def test_sections_are_classed_by_their_place_in_the_block(
    microtome: Microtome, archive: Path, tmp_path: Path
) -> None:
    words = ("--by", "sections", "--manifest", manifest(tmp_path), "--order", "depth")
    ran = microtome("partition", archive, *words, "--partitions", 2, "--json")
    assert ran.code == 0, ran.err
    assert ran.document["patches"] == {"0": 4, "1": 4}
    assert ran.document["unknown"] == 2  # of the slide that the manifest does not name
    opened = Archive.open(str(archive))
    found = {name: read_partition(opened[name]) for name in opened.slide_ids()}
    classes = {name: set(values.tolist()) for name, values in found.items() if values is not None}
    assert classes == {"s1": {0}, "s2": {0}, "s0": {1}, "s3": {1}, "other": {-1}}
    assert microtome("verify", archive).code == 0


def test_what_does_not_say_the_order_is_refused(
    microtome: Microtome, archive: Path, tmp_path: Path
) -> None:
    words = ("partition", archive, "--by", "sections")
    bare = microtome(*words)
    assert (bare.code, "--by sections needs --manifest FILE" in bare.err) == (2, True)
    given = manifest(tmp_path)
    other = microtome(*words, "--manifest", given)
    assert other.code == 2
    assert "manifest.csv line 2: the column 'order' must hold a number" in other.err
    twice = microtome(*words, "--manifest", manifest(tmp_path, s1="3"), "--order", "depth")
    assert twice.code == 2
    assert "two sections of p have the same place" in twice.err
    endless = microtome(*words, "--manifest", manifest(tmp_path, s1="inf"), "--order", "depth")
    assert endless.code == 2
    assert "line 3: the column 'depth' must hold a number" in endless.err
    rows = [{"slide_id": name, "order": place} for name, place in PLACES.items()]
    nobody = microtome(*words, "--manifest", write_csv(tmp_path / "n.csv", rows))
    assert nobody.code == 2
    assert "n.csv line 2: sections need the column patient" in nobody.err
    opened = Archive.open(str(archive))
    assert all(read_partition(opened[name]) is None for name in opened.slide_ids())


def test_patches_without_places_have_no_zones(microtome: Microtome, archive: Path) -> None:
    ran = microtome("partition", archive)
    assert ran.code == 2
    assert "was imported without places of its patches, so it has no zones" in ran.err
