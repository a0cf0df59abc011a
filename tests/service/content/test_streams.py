"""Downloads of a real process: whole under a slow and a broken-off client, in constant memory."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pyarrow as pa
import pytest

from tests.models.bags.large import make_large
from tests.models.bags.planted import ENCODER
from tests.service.conftest import starting
from tiling.embeddings import Embeddings
from tiling.store import Archive

ROWS, DIM = 20_000, 1_536


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a slide of 123 MB of embeddings."""
    work = tmp_path_factory.mktemp("large")
    make_large(work / "a.zarr", ROWS, DIM)
    return work


def resident_mb(pid: int) -> float:
    """Memory of a process that is its own, without mapped files."""
    words = Path(f"/proc/{pid}/status").read_text().split()
    return int(words[words.index("RssAnon:") + 1]) / 1024


def test_memory_does_not_grow_with_the_file(large: Path, tmp_path: Path) -> None:
    with starting("--work", large, "--jobs", "0", log=tmp_path / "log") as (url, process):
        address = f"{url}/api/v1/slides/large/embeddings/{ENCODER}?format="
        with httpx.Client(base_url=url, timeout=60) as client:
            for format in ("h5", "arrow"):  # what is loaded once
                client.get(f"{address}{format}", headers={"Range": "bytes=0-9"})
            before, most = resident_mb(process.pid), 0.0
            for format in ("h5", "arrow"):
                size = 0
                with client.stream("GET", address + format) as answer:
                    for block in answer.iter_raw(1 << 20):
                        size += len(block)
                        most = max(most, resident_mb(process.pid))
                assert size > 4 * ROWS * DIM
    assert most - before < 50


def test_a_client_that_goes_away_leaves_no_file_open(large: Path, tmp_path: Path) -> None:
    with starting("--work", large, "--jobs", "0", log=tmp_path / "log") as (url, process):
        path = f"/api/v1/slides/large/embeddings/{ENCODER}?format="
        place = urlsplit(url)
        for format in ("h5", "arrow", "h5", "arrow"):
            with socket.create_connection((place.hostname, place.port)) as one:
                one.sendall(f"GET {path}{format} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
                assert one.recv(1000).startswith(b"HTTP/1.1 200")
        answer = httpx.get(f"{url}{path}arrow", timeout=60)
        table = pa.ipc.open_stream(answer.content).read_all()
        store = Archive.open(str(large / "a.zarr"))["large"]
        rows = Embeddings(store, ENCODER).read(ROWS - 100)
        assert table["embedding"][-100:].to_pylist() == rows.tolist()
        opened = [link.readlink() for link in Path(f"/proc/{process.pid}/fd").iterdir()]
        assert not [one for one in opened if "cache" in str(one) or "a.zarr" in str(one)]
