import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from shapely.geometry import shape
from starlette.testclient import TestClient

from tests.service.content.conftest import SLIDE, damage
from tests.service.planted import ARCHIVE, ATTENTION, LEGEND, SLIDE_ID, STEP

TISSUE = f"{SLIDE}/maps/tissue"


def test_polygons_cover_what_each_class_covers(client: TestClient, stored: Any) -> None:
    answer = client.get(f"{TISSUE}.geojson")
    assert answer.headers["content-type"] == "application/geo+json"
    assert answer.headers["content-disposition"] == (
        f'attachment; filename="{SLIDE_ID}.tissue.geojson"'
    )
    covered = dict.fromkeys(LEGEND.names, 0.0)
    for feature in answer.json()["features"]:
        polygon = shape(feature["geometry"])
        assert polygon.is_valid
        covered[feature["properties"]["classification"]["name"]] += polygon.area
    counts = np.bincount(stored["maps/tissue/classes"][:].ravel(), minlength=256)
    expected = [int(count) * STEP**2 for count in counts[: len(covered)]]
    assert list(covered.values()) == expected


def test_attention_is_a_rectangle_per_patch(client: TestClient, stored: Any) -> None:
    features = client.get(f"{SLIDE}/maps/{ATTENTION}.geojson").json()["features"]
    corners = [shape(one["geometry"]).bounds[:2] for one in features]
    assert np.array_equal(np.array(corners), stored["coords"][:])
    values = [one["properties"]["measurements"][0]["value"] for one in features]
    assert np.allclose(values, stored[f"maps/{ATTENTION}/patches"][0], rtol=1e-6)


def test_the_tiff_holds_the_colours_and_the_resolution(client: TestClient, stored: Any) -> None:
    answer = client.get(f"{TISSUE}.ome.tif")
    assert answer.headers["content-type"] == "image/tiff"
    classes = stored["maps/tissue/classes"][:]
    palette = np.full((256, 3), 255, np.uint8)
    palette[: len(LEGEND.colours)] = LEGEND.colours
    with tifffile.TiffFile(io.BytesIO(answer.content)) as file:
        assert np.array_equal(file.series[0].asarray(), palette[classes])
        assert len(file.series[0].levels) > 1
        assert 'PhysicalSizeX="1.996"' in str(file.ome_metadata)


def test_areas_are_counted_pixels(client: TestClient, stored: Any) -> None:
    found = client.get(f"{TISSUE}/areas").json()
    classes = stored["maps/tissue/classes"][:]
    entropy = stored["maps/tissue/entropy"][:]
    for number, row in enumerate(found["classes"]):
        mine = classes == number
        assert row["number"] == number
        assert tuple(row["colour"]) == LEGEND.colours[number]
        assert row["pixels"] == mine.sum()
        assert np.isclose(row["area_mm2"], mine.sum() * (0.499 * STEP / 1000) ** 2)
        assert np.isclose(row["share"], mine.sum() / (classes != 255).sum())
        assert np.isclose(row["entropy_mean"], entropy[mine].mean() / 255)
    assert found["pixels"] == (classes != 255).sum()


def test_areas_as_csv_say_the_same(client: TestClient) -> None:
    areas = client.get(f"{TISSUE}/areas").json()
    answer = client.get(f"{TISSUE}/areas?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["name"] for row in rows] == [row["name"] for row in areas["classes"]]
    assert [float(row["area_mm2"]) for row in rows] == [r["area_mm2"] for r in areas["classes"]]


def test_a_file_is_made_once(client: TestClient, work: Path) -> None:
    answer = client.get(f"{TISSUE}.ome.tif")
    files = list((work / "cache" / "files").glob("*.ome.tif"))
    assert len(files) == 1
    before = files[0].stat()
    assert client.get(f"{TISSUE}.ome.tif").content == answer.content
    after = files[0].stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_was_made_may_be_deleted(client: TestClient, work: Path) -> None:
    first = client.get(f"{TISSUE}.geojson")
    for path in (work / "cache" / "files").iterdir():
        path.unlink()
    assert client.get(f"{TISSUE}.geojson").json() == first.json()
    assert client.get(f"{TISSUE}_files/0/0_0.png").status_code == 200


def test_parts_of_a_file_make_the_whole(client: TestClient) -> None:
    url = f"{TISSUE}.ome.tif"
    whole = client.get(url)
    size, tag = len(whole.content), whole.headers["etag"]
    assert whole.headers["accept-ranges"] == "bytes"
    parts = []
    for start, stop in ((0, 1000), (1000, size // 2), (size // 2, size)):
        asked = {"Range": f"bytes={start}-{stop - 1}", "If-Range": tag}
        answer = client.get(url, headers=asked)
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        parts.append(answer.content)
    assert b"".join(parts) == whole.content


def test_a_gzipped_file_is_not_cut_into_parts_of_its_gzip(client: TestClient) -> None:
    url = f"{TISSUE}.geojson"
    whole = client.get(url, headers={"Accept-Encoding": "identity"}).content
    answer = client.get(url, headers={"Range": "bytes=10-99"})
    assert answer.status_code == 206
    assert answer.content == whole[10:100]


def test_a_file_is_not_sent_twice(client: TestClient) -> None:
    url = f"{TISSUE}.geojson"
    headers = client.get(url).headers
    assert client.get(url, headers={"If-None-Match": headers["etag"]}).status_code == 304
    since = {"If-Modified-Since": headers["last-modified"]}
    assert client.get(url, headers=since).status_code == 304
    other = client.get(url, headers={"If-None-Match": '"other"', **since})
    assert other.status_code == 200


def test_a_damaged_map_leaves_no_half_file(client: TestClient, work: Path) -> None:
    damage(work / ARCHIVE / SLIDE_ID / "maps" / "tissue" / "classes" / "c" / "0" / "0")
    for ending in (".geojson", ".ome.tif", "/areas"):
        answer = client.get(f"{TISSUE}{ending}")
        assert answer.status_code == 502
        assert str(work) not in json.dumps(answer.json())
    assert list((work / "cache" / "files").iterdir()) == []
