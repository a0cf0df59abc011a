"""The client against a real process of the service."""

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import h5py
import httpx
import numpy as np
import pytest
import zarr
from PIL import Image

from service.client import Client, ClientError, ProblemError, Progress
from service.client.waiting import read_events
from tests.service.conftest import serving
from wsi import Point, Region, Size, open_slide

SLIDE = "CMU-1-Small-Region"


@pytest.fixture(scope="module")
def url(planted: Path, tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> Iterator[str]:
    """One process for all: starting it is what takes time."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(planted, folder / "work")
    (folder / "slides").mkdir()
    for name in ("cmu.svs", "other.svs"):
        shutil.copyfile(cmu_slide, folder / "slides" / name)
    words = ("--work", folder / "work", "--slides", folder / "slides", "--workers", 1)
    with serving(*words, log=folder / "log") as url:
        with Client(url) as client:
            client.register("cmu.svs", id=SLIDE)  # its pixels, beside what the archive has of it
        yield url


@pytest.fixture
def asking(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


def test_slides_come_page_by_page(asking: Client) -> None:
    assert asking.me().name == "local"
    asking.register("other.svs", id="registered")
    found = {slide.id: slide for slide in asking.slides()}
    assert {"registered", SLIDE} <= set(found)
    assert found["registered"].size_px == (2220, 2967)
    assert [slide.id for slide in asking.slides(q="REGIST")] == ["registered"]
    assert [slide.id for slide in asking.slides(archive="demo.zarr")] == [SLIDE]
    assert asking.slide("registered").levels[0]["size_px"] == [2220, 2967]  # type: ignore[attr-defined]
    asking.delete_slide("registered")
    assert "registered" not in {slide.id for slide in asking.slides()}


def test_pixels_are_those_of_the_slide(asking: Client, cmu_slide: Path) -> None:
    with open_slide(cmu_slide) as slide:
        expected = np.asarray(slide.read_region(Region(Point(700, 900), 0, Size(64, 48))))
    assert np.array_equal(np.asarray(asking.region(SLIDE, (700, 900), (64, 48))), expected)
    assert max(asking.thumbnail(SLIDE, 200).size) == 200


def test_a_slide_is_sent_in_pieces(
    asking: Client, cmu_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.client.uploads.PIECE_BYTES", 500_000)
    heard: list[tuple[int, int]] = []
    slide = asking.upload(cmu_slide, id="sent", progress=lambda *told: heard.append(told))
    size = cmu_slide.stat().st_size
    assert [done for done, _ in heard] == [500_000, 1_000_000, 1_500_000, size]
    assert slide.id == "sent"
    assert asking.region("sent", (0, 0), (8, 8)).size == (8, 8)
    with pytest.raises(ProblemError, match="sent") as raised:
        asking.upload(cmu_slide, id="sent")
    assert raised.value.status == 409


def test_what_is_no_slide_is_refused(asking: Client, tmp_path: Path) -> None:
    (tmp_path / "bad.svs").write_bytes(b"no slide" * 1000)
    with pytest.raises(ProblemError) as raised:
        asking.upload(tmp_path / "bad.svs")
    assert raised.value.status == 422


@pytest.mark.parametrize("encoder", ["colour-layout", "colour-histogram"])
def test_embeddings_become_arrays(asking: Client, planted: Path, encoder: str) -> None:
    group = zarr.open_group(planted / "demo.zarr" / SLIDE, mode="r")
    expected = np.asarray(group[f"embeddings/{encoder}"])
    found = asking.embeddings(SLIDE, encoder)
    assert found.features.dtype == expected.dtype
    assert np.array_equal(found.features, expected)
    assert np.array_equal(found.coords, np.asarray(group["coords"]))
    assert len(found) == len(expected)


def test_embeddings_and_maps_are_saved(asking: Client, tmp_path: Path) -> None:
    path = asking.save_embeddings(SLIDE, "colour-layout", tmp_path / "a.h5")
    with h5py.File(path) as file:
        features = np.asarray(file["features"])
    arrays = asking.embeddings(SLIDE, "colour-layout")
    assert np.allclose(features.reshape(arrays.features.shape), arrays.features)
    assert "tissue" in {one.name for one in asking.maps(SLIDE)}
    with Image.open(asking.save_map(SLIDE, "tissue", tmp_path / "a.png")) as image:
        assert image.width > 100
    assert asking.areas(SLIDE, "tissue").area_mm2 > 0
    with pytest.raises(ValueError, match="a map is saved as"):
        asking.save_map(SLIDE, "tissue", tmp_path / "a.jpg")
    assert {path.name for path in tmp_path.iterdir()} == {"a.h5", "a.png"}


def test_similar_patches_are_found(asking: Client) -> None:
    found = asking.similar(SLIDE, "colour-layout", 0, limit=3)
    assert len(found) == 3
    assert found[0].similarity >= found[1].similarity >= found[2].similarity


@pytest.mark.parametrize("events", [True, False])
def test_a_job_is_submitted_and_waited_for(asking: Client, events: bool) -> None:
    heard: list[Progress] = []
    out = f"cut-{events}.zarr".lower()
    config = {"slides": [SLIDE], "out": out, "mpp": "native", "patch_size": 240}
    job = asking.submit("tile", config, key=f"key-{events}")
    assert asking.submit("tile", config, key=f"key-{events}").id == job.id
    done = asking.wait(job.id, heard.append, timeout_s=200, events=events)
    assert (done.state, done.exit_code) == ("succeeded", 0), done.error
    assert heard
    assert heard[-1].share == 1
    assert asking.outcome(job.id)
    assert asking.log(job.id)
    assert [one.id for one in asking.slides(archive=out)] == [SLIDE]
    assert job.id in {one.id for one in asking.jobs(state="succeeded", workflow="tile")}


def test_waiting_ends(asking: Client) -> None:
    config = {"slides": [SLIDE], "out": "never.zarr", "mpp": "native", "patch_size": 240}
    job = asking.submit("tile", config)
    with pytest.raises(ClientError, match="not ended in time"):
        asking.wait(job.id, timeout_s=0)
    asking.cancel(job.id)
    assert asking.wait(job.id, timeout_s=100).state == "cancelled"


def test_a_refusal_says_why(asking: Client) -> None:
    with pytest.raises(ProblemError, match="404 Not Found") as raised:
        asking.slide("nothing/../here")
    assert raised.value.request_id
    with pytest.raises(ProblemError) as raised:
        asking.submit("tile", {"nonsense": 1})
    assert raised.value.status == 422
    assert "nonsense" in raised.value.detail


class Busy(BaseHTTPRequestHandler):
    """A service that is busy for the first two requests."""

    asked: list[str] = []  # noqa: RUF012 - one for all requests, as each has its own handler

    def do_GET(self) -> None:
        self.asked.append(self.command)
        self.send_response(503 if len(self.asked) < 3 else 200)
        self.send_header("Retry-After", "0")
        body = b'{"name": "me", "scopes": []}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def busy() -> Iterator[str]:
    Busy.asked.clear()
    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_may_be_repeated_is_repeated(busy: str) -> None:
    with Client(busy) as client:
        assert client.me().name == "me"
    assert Busy.asked == ["GET"] * 3


def test_what_changes_something_is_not_repeated(busy: str) -> None:
    with Client(busy) as client, pytest.raises(ProblemError, match="503"):
        client.register("a.svs")
    assert Busy.asked == ["POST"]


def test_nobody_there_is_an_error() -> None:
    with Client("http://127.0.0.1:9", tries=1) as client, pytest.raises(httpx.ConnectError):
        client.me()


def test_events_are_read_as_the_standard_says() -> None:
    lines = [
        ": comment",
        "retry: 100",
        "",
        "id: 7",
        "event: log",
        "data: a",
        "data: b",
        "",
        "data:c",
        "",
        "data: cut off",
    ]
    first, second = read_events(iter(lines))
    assert first == {"id": "7", "event": "log", "data": "a\nb"}
    assert second == {"data": "c"}
