"""The list of slides, their details, registration by path, deletion."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.slides.inspection import Facts, inspect
from service.slides.registering import INSPECTIONS
from tests.service.conftest import Bearer, opened
from tests.service.slides.conftest import register
from tiling.store import Archive
from workflows.serve import ServeConfig

PLANTED = "CMU-1-Small-Region"


def listed(client: TestClient, **query: object) -> list[str]:
    answer = client.get("/api/v1/slides", params=query)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def name_patient(work: Path, patient: str) -> None:
    """Write a patient into the archive's slide and index."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    document = work / "demo.zarr" / PLANTED / "zarr.json"
    parsed = json.loads(document.read_text())
    parsed["attributes"]["microtome"] |= {"patient": patient, "site": "Ward 7"}
    document.write_text(json.dumps(parsed))
    index = work / "demo.zarr" / "slides.parquet"
    rows = pq.read_table(index).to_pylist()
    pq.write_table(pa.Table.from_pylist([row | {"patient": patient} for row in rows]), index)


def test_registered_slides_and_those_of_archives_are_listed_together(client: TestClient) -> None:
    register(client, "more/other.svs")
    register(client, "cmu.svs")
    assert listed(client) == [PLANTED, "cmu", "more__other"]
    assert listed(client, archive="demo.zarr") == [PLANTED]
    assert client.get("/api/v1/slides", params={"archive": "no.zarr"}).status_code == 404


def test_what_archives_have_of_a_slide_is_said(client: TestClient) -> None:
    (item,) = client.get("/api/v1/slides").json()["items"]
    (held,) = item["archives"]
    store = Archive.open(str(client.app.state.work / "demo.zarr"))[PLANTED]  # type: ignore[attr-defined]
    assert held["name"] == "demo.zarr"
    assert held["patches"] == len(store)
    assert held["patch_size_px"] == 240
    assert held["maps"] == ["attention-demo", "tissue"]
    assert held["embeddings"] == ["colour-histogram", "colour-layout"]
    assert (item["size_px"], item["mpp"]) == ([2220, 2967], 0.499)
    assert item["registered"] is None


def test_pages_hold_every_slide_once_while_slides_come_and_go(client: TestClient) -> None:
    for number in range(7):
        register(client, "cmu.svs", id=f"slide-{number}")
    found, cursor = [], None
    for page in range(10):
        query = {"limit": 3} | ({} if cursor is None else {"cursor": cursor})
        answer = client.get("/api/v1/slides", params=query).json()
        found += [item["id"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        if page == 0:
            register(client, "cmu.svs", id="another")  # sorts before where the reader is
            client.delete("/api/v1/slides/slide-3")
        if cursor is None:
            break
    assert found == [PLANTED, *(f"slide-{n}" for n in (0, 1, 2, 4, 5, 6))]
    assert client.get("/api/v1/slides", params={"cursor": "x"}).status_code == 422


def test_search_finds_parts_of_ids_in_any_case(client: TestClient) -> None:
    register(client, "cmu.svs", id="Kidney-1")
    register(client, "cmu.svs", id="kidney-2")
    assert listed(client, q="KIDNEY") == ["Kidney-1", "kidney-2"]
    assert listed(client, q="small") == [PLANTED]
    assert listed(client, q="%") == []


def test_a_patient_is_shown_and_searched_only_with_phi(
    client: TestClient, work: Path, bearer: Bearer
) -> None:
    name_patient(work, "Jane Doe")
    reader, doctor = bearer("read"), bearer("read", "phi")
    for path in ("/api/v1/slides", f"/api/v1/slides/{PLANTED}"):
        answer = client.get(path, headers=reader)
        assert answer.status_code == 200
        assert "Jane" not in answer.text
        assert "Ward" not in answer.text
        assert "Jane Doe" in client.get(path, headers=doctor).text
    assert client.get("/api/v1/slides?q=jane", headers=reader).json()["items"] == []
    (found,) = client.get("/api/v1/slides?q=jane", headers=doctor).json()["items"]
    assert (found["id"], found["patient"], found["site"]) == (PLANTED, "Jane Doe", "Ward 7")


def test_what_a_file_says_of_dates_and_barcodes_needs_phi(
    client: TestClient, bearer: Bearer
) -> None:
    register(client, "cmu.svs")
    reader, doctor = bearer("read"), bearer("read", "phi")
    open_to_all = client.get("/api/v1/slides/cmu", headers=reader)
    assert open_to_all.json()["properties"] is None
    assert "12/29/09" not in open_to_all.text
    assert (
        client.get("/api/v1/slides/cmu", headers=doctor).json()["properties"]["aperio.Date"]
        == "12/29/09"
    )


def test_details_say_levels_tiles_and_resolution(client: TestClient) -> None:
    register(client, "cmu.svs")
    answer = client.get("/api/v1/slides/cmu")
    found = answer.json()
    assert found["levels"] == [
        {
            "index": 0,
            "size_px": [2220, 2967],
            "downsample": 1.0,
            "tile_px": [240, 240],
            "codec": "jpeg",
        }
    ]
    assert found["resolution"]["x"] == 0.499
    assert "openslide.mpp-x" in found["resolution"]["origin"]
    assert (found["vendor"], found["objective"], found["background"]) == ("aperio", 20.0, "#ffffff")
    assert found["deepzoom"] == {"tile_px": 240, "overlap": 0, "levels": 13}
    assert found["registered"].endswith("Z")
    known = {"If-None-Match": answer.headers["etag"]}
    assert client.get("/api/v1/slides/cmu", headers=known).status_code == 304


def test_a_slide_of_an_archive_alone_has_details_and_no_tiles(client: TestClient) -> None:
    found = client.get(f"/api/v1/slides/{PLANTED}").json()
    assert not found["pixels"]
    assert (found["vendor"], found["resolution"]["x"]) == ("aperio", 0.499)
    assert found["deepzoom"] is None
    for rest in (".dzi", "_files/0/0_0.jpeg", "/region?x=0&y=0&width=9&height=9", "/associated"):
        answer = client.get(f"/api/v1/slides/{PLANTED}{rest}")
        assert answer.status_code == 404
        assert "not here" in answer.json()["detail"]


def test_an_archive_s_source_is_read_where_it_lies_under_an_allowed_folder(
    settings: ServeConfig, work: Path, cmu_slide: Path
) -> None:
    with opened(
        create_app(settings.model_copy(update={"slides": str(cmu_slide.parent)}))
    ) as client:
        assert client.get(f"/api/v1/slides/{PLANTED}").json()["pixels"]
        assert client.get(f"/api/v1/slides/{PLANTED}_files/12/1_1.jpeg").status_code == 200
        catalogue = client.app.state.catalogue  # type: ignore[attr-defined]
        assert catalogue.location(PLANTED) == str(cmu_slide.resolve())


def test_a_registered_file_gives_an_archive_s_slide_its_pixels(client: TestClient) -> None:
    register(client, "cmu.svs", id=PLANTED)  # the same bytes that the archive was cut from
    found = client.get(f"/api/v1/slides/{PLANTED}").json()
    assert found["pixels"]
    assert [one["name"] for one in found["archives"]] == ["demo.zarr"]
    assert listed(client) == [PLANTED]


def test_another_file_under_the_id_of_an_archive_s_slide_is_refused(
    client: TestClient, slides_root: Path, pyramid_slide: Path
) -> None:
    shutil.copyfile(pyramid_slide, slides_root / "wrong.svs")
    answer = client.post("/api/v1/slides", json={"path": "wrong.svs", "id": PLANTED})
    assert answer.status_code == 409
    assert "of another file" in answer.json()["detail"]


def test_registration_says_where_the_slide_is(client: TestClient) -> None:
    answer = client.post("/api/v1/slides", json={"path": "more/other.svs", "mpp": 0.25})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/v1/slides/more__other"
    assert answer.json()["mpp"] == 0.25
    again = client.post("/api/v1/slides", json={"path": "more/other.svs"})
    assert again.status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        "nonsense",
        "",
        '{"path": 1}',
        '{"path": "cmu.svs", "mpp": 0}',
        '{"path": "cmu.svs", "mpp": -1}',
        '{"path": "cmu.svs", "mpp": "NaN"}',
        '{"path": "cmu.svs", "mpp": 1e999}',
        '{"path": "cmu.svs", "more": 1}',
    ],
)
def test_a_body_that_makes_no_sense_is_refused(client: TestClient, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/api/v1/slides", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_without_a_folder_of_slides_nothing_is_registered(
    settings: ServeConfig, work: Path
) -> None:
    with opened(create_app(settings.model_copy(update={"slides": None}))) as client:
        answer = client.post("/api/v1/slides", json={"path": "cmu.svs"})
        assert answer.status_code == 422
        assert "no folder" in answer.json()["detail"]


def test_what_is_no_slide_is_not_registered(client: TestClient, slides_root: Path) -> None:
    (slides_root / "text.svs").write_text("no slide")
    answer = client.post("/api/v1/slides", json={"path": "text.svs"})
    assert answer.status_code == 422
    assert str(slides_root) not in answer.text
    assert listed(client) == [PLANTED]


def test_deletion_takes_away_the_registration_and_never_the_file(
    client: TestClient, slides_root: Path
) -> None:
    register(client, "cmu.svs")
    assert client.delete("/api/v1/slides/cmu").status_code == 204
    assert client.get("/api/v1/slides/cmu").status_code == 404
    assert client.delete("/api/v1/slides/cmu").status_code == 404
    assert (slides_root / "cmu.svs").is_file()
    register(client, "cmu.svs")


def test_a_slide_of_an_archive_cannot_be_deleted(client: TestClient) -> None:
    assert client.delete(f"/api/v1/slides/{PLANTED}").status_code == 409
    assert listed(client) == [PLANTED]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/api/v1/slides", "read"),
        ("GET", "/api/v1/slides/cmu", "read"),
        ("GET", "/api/v1/slides/cmu.dzi", "read"),
        ("GET", "/api/v1/slides/cmu_files/0/0_0.jpeg", "read"),
        ("GET", "/api/v1/slides/cmu/thumbnail", "read"),
        ("GET", "/api/v1/slides/cmu/region?x=0&y=0&width=9&height=9", "read"),
        ("GET", "/api/v1/slides/cmu/associated", "phi"),
        ("GET", "/api/v1/slides/cmu/associated/label", "phi"),
        ("POST", "/api/v1/slides", "submit"),
        ("POST", "/api/v1/uploads", "submit"),
        ("GET", "/api/v1/uploads/x", "submit"),
        ("PATCH", "/api/v1/uploads/x", "submit"),
        ("DELETE", "/api/v1/uploads/x", "submit"),
        ("DELETE", "/api/v1/slides/cmu", "admin"),
    ],
)
def test_every_route_needs_its_scope(
    client: TestClient, bearer: Bearer, method: str, path: str, scope: str
) -> None:
    others = [one for one in ("read", "submit", "admin", "phi") if one != scope]
    right, wrong = bearer(scope), bearer(*others)
    assert client.request(method, path).status_code == 401
    assert client.request(method, path, headers=wrong).status_code == 403
    assert client.request(method, path, headers=right).status_code not in (401, 403, 500)


@pytest.mark.parametrize("damage", ["file", "key"])
def test_a_damaged_archive_is_told_without_its_place(
    client: TestClient, work: Path, damage: str
) -> None:
    folder = work / "demo.zarr" / PLANTED
    if damage == "file":
        shutil.rmtree(folder / "thumbnail")
    else:
        document = json.loads((folder / "zarr.json").read_text())
        del document["attributes"]["microtome"]["bounds"]
        (folder / "zarr.json").write_text(json.dumps(document))
    rest = "/thumbnail" if damage == "file" else ""
    answer = client.get(f"/api/v1/slides/{PLANTED}{rest}")
    assert answer.status_code == 502, answer.text
    assert "damaged" in answer.json()["detail"]
    assert str(work) not in answer.text
    assert listed(client) == [PLANTED]


def test_a_third_slide_that_is_to_be_looked_at_has_to_come_again(
    client: TestClient, slides_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting, start = threading.Event(), threading.Barrier(INSPECTIONS + 1)

    def look(file: Path, mpp: float | None) -> Facts:
        start.wait(20)
        meeting.wait(20)
        return inspect(file, mpp)

    monkeypatch.setattr("service.slides.registering.inspect", look)
    monkeypatch.setattr("service.slides.registering.WAIT_S", 0.01)
    with ThreadPoolExecutor(INSPECTIONS) as threads:
        ids = [f"slide-{number}" for number in range(INSPECTIONS)]
        running = [threads.submit(register, client, "cmu.svs", id=one) for one in ids]
        start.wait(20)
        answer = client.post("/api/v1/slides", json={"path": "cmu.svs", "id": "more"})
        meeting.set()
        assert [one.result() for one in running] == ids
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    monkeypatch.undo()
    register(client, "cmu.svs", id="more")


def test_a_damaged_copy_takes_nothing_else_out_of_the_list(client: TestClient, work: Path) -> None:
    for name in ("copy.zarr", "other.zarr"):
        shutil.copytree(work / "demo.zarr", work / name)
    (work / "copy.zarr" / PLANTED / "zarr.json").write_text("[1, 2]")
    (work / "other.zarr" / PLANTED).rename(work / "other.zarr" / "lost")
    (work / "other.zarr" / "lost" / "zarr.json").write_text("{")
    found = {item["id"]: item for item in client.get("/api/v1/slides").json()["items"]}
    assert [one["name"] for one in found[PLANTED]["archives"]] == ["demo.zarr"]
    assert found[PLANTED]["unreadable"] == ["copy.zarr"]
    assert (found["lost"]["archives"], found["lost"]["unreadable"]) == ([], ["other.zarr"])
    assert client.get(f"/api/v1/slides/{PLANTED}").status_code == 200
    assert client.get(f"/api/v1/slides/{PLANTED}/maps").status_code == 200
    told = (502, "lost is damaged in the archive other.zarr")
    for answer in (
        client.get("/api/v1/slides/lost"),
        client.get("/api/v1/slides/lost/thumbnail"),
        client.post("/api/v1/slides", json={"path": "cmu.svs", "id": "lost"}),
    ):
        assert (answer.status_code, answer.json()["detail"]) == told


def test_a_slide_in_no_archive_has_empty_lists(client: TestClient) -> None:
    slide_id = register(client, "cmu.svs", id="new-one")
    for what in ("maps", "embeddings"):
        assert client.get(f"/api/v1/slides/{slide_id}/{what}").json() == []
        assert client.get(f"/api/v1/slides/{slide_id}/{what}?archive=demo.zarr").status_code == 404
        assert client.get(f"/api/v1/slides/nobody/{what}").status_code == 404
