import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from service.content import nearest
from tests.service.content.conftest import SLIDE
from tests.service.content.test_embeddings import make_unreadable
from tests.service.planted import ARCHIVE, ENCODERS, SLIDE_ID, card, put_embeddings
from tests.tiling.archives import cut
from tiling.store import Archive

ENCODER = next(iter(ENCODERS))


@pytest.fixture(autouse=True)
def always_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no answer be taken for fresh, so that tests need not wait."""
    monkeypatch.setattr(nearest, "FRESH_S", 0.0)


def cosines(rows: npt.NDArray[Any], patch: int) -> list[float]:
    """Cosine of a row with every row, one by one."""
    own = rows[patch].astype(np.float64)
    return [
        float(own @ row / np.sqrt(own @ own) / np.sqrt(row @ row))
        for row in rows.astype(np.float64)
    ]


def found(client: TestClient, patch: int, limit: int, more: str = "") -> list[dict[str, Any]]:
    url = f"{SLIDE}/similar?encoder={ENCODER}&patch={patch}&limit={limit}{more}"
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def add_slide(work: Path, slide: Path, name: str, seed: int) -> npt.NDArray[np.float32]:
    """Add a slide with 20 rows of some length to the archive."""
    cut(work / ARCHIVE, slide, name, mpp=2.0, patch_size_px=128)
    store = Archive.open(str(work / ARCHIVE))[name]
    rows = np.random.default_rng(seed).standard_normal((len(store), 384)).astype(np.float32) * 7
    put_embeddings(store, card(ENCODER, 384), rows)
    return rows


def test_all_patches_are_ranked_as_a_loop_ranks_them(client: TestClient, stored: Any) -> None:
    rows = stored[f"embeddings/{ENCODER}"][:]
    for patch in (0, 17, 54):
        expected = cosines(rows, patch)
        order = sorted((i for i in range(55) if i != patch), key=lambda i: -expected[i])
        items = found(client, patch, 100)
        assert [one["patch"] for one in items] == order
        assert np.allclose([one["similarity"] for one in items], [expected[i] for i in order])


def test_a_result_says_where_the_patch_lies(client: TestClient, stored: Any) -> None:
    for one in found(client, 3, 5):
        assert one["slide"] == SLIDE_ID
        assert [one["x"], one["y"]] == stored["coords"][one["patch"]].tolist()
        assert one["size_level0"] == [240.0, 240.0]


def test_fewer_are_the_first_of_more(client: TestClient) -> None:
    assert found(client, 9, 4) == found(client, 9, 50)[:4]


def test_blocks_do_not_change_the_result(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = found(client, 20, 30)
    monkeypatch.setattr(nearest, "SCANNED_BYTES", 384 * 4 * 4)
    after = found(client, 20, 30)
    assert [one["patch"] for one in after] == [one["patch"] for one in before]


def test_slides_that_are_added_are_found(
    client: TestClient, work: Path, stored: Any, cmu_slide: Path
) -> None:
    found(client, 5, 10)
    own = stored[f"embeddings/{ENCODER}"][:]
    parts = [(SLIDE_ID, own)]
    for number, name in enumerate(("a", "z")):
        parts.append((name, add_slide(work, cmu_slide, name, number)))
        everything = np.concatenate([rows for _, rows in parts])
        names = [(slide, i) for slide, rows in parts for i in range(len(rows))]
        expected = cosines(everything, 5)
        order = sorted((i for i in range(len(names)) if i != 5), key=lambda i: -expected[i])
        items = found(client, 5, 500)
        assert [(one["slide"], one["patch"]) for one in items] == [names[i] for i in order]
    answer = client.get(f"{SLIDE}/similar?encoder={ENCODER}&patch=5").json()
    assert (answer["slides"], answer["patches"]) == (3, len(names))


def test_slides_that_go_or_change_are_not_found_as_they_were(
    client: TestClient, work: Path, cmu_slide: Path
) -> None:
    add_slide(work, cmu_slide, "a", 1)
    add_slide(work, cmu_slide, "b", 2)
    assert {one["slide"] for one in found(client, 5, 500)} == {SLIDE_ID, "a", "b"}
    shutil.rmtree(work / ARCHIVE / "a")
    rows = np.zeros((len(Archive.open(str(work / ARCHIVE))["b"]), 384), np.float32)
    rows[3] = Archive.open(str(work / ARCHIVE))[SLIDE_ID].small("coords")[0, 0] * 0 + 1
    put_embeddings(Archive.open(str(work / ARCHIVE))["b"], card(ENCODER, 384), rows)
    items = found(client, 5, 500)
    assert {(one["slide"], one["patch"]) for one in items if one["slide"] != SLIDE_ID} == {("b", 3)}
    assert len(list((work / "cache" / "similar").rglob("rows-*"))) == 1


def test_embeddings_of_another_network_of_that_name_do_not_count(
    client: TestClient, work: Path, cmu_slide: Path
) -> None:
    cut(work / ARCHIVE, cmu_slide, "a", mpp=2.0, patch_size_px=128)
    store = Archive.open(str(work / ARCHIVE))["a"]
    other = card(ENCODER, 384).model_copy(update={"weights_sha256": "8" * 64})
    put_embeddings(store, other, np.ones((len(store), 384), np.float32))
    assert {one["slide"] for one in found(client, 5, 500)} == {SLIDE_ID}
    answer = client.get(f"/api/v1/slides/a/similar?encoder={ENCODER}&patch=0")
    assert {one["slide"] for one in answer.json()["items"]} == {"a"}


def test_unreadable_patches_are_neither_found_nor_searched_for(
    client: TestClient, work: Path
) -> None:
    make_unreadable(work, 0, 30)
    assert not {0, 30} & {one["patch"] for one in found(client, 5, 500)}
    answer = client.get(f"{SLIDE}/similar?encoder={ENCODER}&patch=30")
    assert answer.status_code == 422


def test_rows_that_are_no_numbers_are_not_found(client: TestClient, work: Path) -> None:
    store = Archive.open(str(work / ARCHIVE))[SLIDE_ID]
    rows = np.random.default_rng(0).standard_normal((55, 8)).astype(np.float32)
    rows[4], rows[6], rows[8, 2] = np.nan, 0, np.inf
    put_embeddings(store, card("odd", 8), rows)
    answer = client.get(f"{SLIDE}/similar?encoder=odd&patch=1&limit=100").json()
    assert {one["patch"] for one in answer["items"]} == set(range(55)) - {1, 4, 6, 8}


def test_a_restart_does_not_build_the_matrix_again(app: FastAPI, work: Path) -> None:
    marks = []
    for _ in range(2):
        with TestClient(app, "http://127.0.0.1", client=("127.0.0.1", 50000)) as client:
            found(client, 1, 5)
        path = next((work / "cache" / "similar").rglob("rows-*"))
        marks.append((path.name, path.stat().st_mtime_ns))
    assert marks[0] == marks[1]


def test_a_matrix_that_is_cut_short_is_built_again(client: TestClient, work: Path) -> None:
    before = found(client, 1, 5)
    path = next((work / "cache" / "similar").rglob("rows-*"))
    path.write_bytes(path.read_bytes()[:100])
    assert found(client, 1, 5) == before


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("encoder=nope&patch=0", 404),
        (f"encoder={ENCODER}&patch=55", 404),
        (f"encoder={ENCODER}&patch=-1", 422),
        (f"encoder={ENCODER}", 422),
        ("patch=0", 422),
        (f"encoder={ENCODER}&patch=0&limit=0", 422),
        (f"encoder={ENCODER}&patch=0&archive=nope.zarr", 404),
    ],
)
def test_what_is_not_there_is_told(client: TestClient, query: str, status: int) -> None:
    assert client.get(f"{SLIDE}/similar?{query}").status_code == status


def test_a_damaged_slide_among_others_is_left_out(
    client: TestClient, work: Path, cmu_slide: Path
) -> None:
    add_slide(work, cmu_slide, "a", 1)
    shutil.rmtree(work / ARCHIVE / "a" / "embeddings" / ENCODER / "c")
    assert {one["slide"] for one in found(client, 5, 500)} == {SLIDE_ID}
