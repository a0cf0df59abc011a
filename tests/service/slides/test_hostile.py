"""Files that claim more than they are: refused, in bounded memory, and without harm to others."""

import contextlib
import io
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from starlette.testclient import TestClient

from service.errors import InvalidError, TooLargeError
from service.slides.inspection import inspect, inspect_apart
from tests.service.slides.conftest import decoded, register
from wsi import open_slide

BYTES = {"Content-Type": "application/octet-stream"}


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header claims a size; of its pixels there are a few."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1 << 20))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def patched(data: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF with a tag of its first directory set to another number."""
    found = bytearray(data)
    (at,) = struct.unpack_from("<I", found, 4)
    (count,) = struct.unpack_from("<H", found, at)
    for number in range(count):
        entry = at + 2 + 12 * number
        if struct.unpack_from("<H", found, entry)[0] == tag:
            struct.pack_into("<HII", found, entry + 2, 4, 1, value)
    return bytes(found)


def tiled_tiff(side: int = 512, tile: int = 256) -> bytes:
    buffer = io.BytesIO()
    pixels = np.zeros((side, side, 3), np.uint8)
    tifffile.imwrite(
        buffer, pixels, tile=(tile, tile), photometric="rgb", compression="deflate", metadata=None
    )
    return buffer.getvalue()


def huge_strip() -> bytes:
    """A TIFF of one deflated strip of 20,000 x 20,000 px: 1 MB that unpacks to 1.2 GB."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(
            (bytes(20_000 * 3) for _ in range(1)),  # its data are replaced below
            shape=(1, 20_000, 3),
            dtype=np.uint8,
            photometric="rgb",
            compression="deflate",
            metadata=None,
        )
    return patched(patched(buffer.getvalue(), 257, 20_000), 278, 20_000)


WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT = 256, 257, 322, 323
HOSTILE = {
    "png-huge": ("a.png", png_of(60_000, 60_000)),
    "png-large": ("a.png", png_of(9_000, 9_000)),
    "png-claims-too-much": ("a.png", png_of(2_000_000_000, 2_000_000_000)),
    "tiff-huge": (
        "a.tif",
        patched(patched(tiled_tiff(), WIDTH, 4_000_000_000), HEIGHT, 4_000_000_000),
    ),
    "tiff-huge-tiles": (
        "a.tif",
        patched(patched(tiled_tiff(), TILE_WIDTH, 65_536), TILE_HEIGHT, 65_536),
    ),
    "tiff-huge-strip": ("a.tif", huge_strip()),
    "svs-huge-tiles": (
        "a.svs",
        patched(patched(tiled_tiff(), TILE_WIDTH, 1 << 30), TILE_HEIGHT, 1 << 30),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_claims_too_much_is_refused_and_leaves_nothing(
    client: TestClient, work: Path, name: str
) -> None:
    file, data = HOSTILE[name]
    answer = client.post("/api/v1/slides", params={"name": file}, content=data, headers=BYTES)
    assert answer.status_code in (413, 422), answer.text
    assert not [*(work / "uploads").rglob("*"), *(work / "slides").rglob("*")]


@pytest.mark.parametrize("name", HOSTILE)
def test_memory_stays_bounded_when_such_a_file_is_registered(
    client: TestClient, slides_root: Path, name: str
) -> None:
    file, data = HOSTILE[name]
    (slides_root / file).write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = client.post("/api/v1/slides", json={"path": file})
    assert answer.status_code in (413, 422), answer.text
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 400_000  # kB


def test_a_sparse_slide_of_a_huge_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    count = (1_000_000 // 256 + 1) ** 2
    path.write_bytes(patched(patched(tiled_tiff(), WIDTH, 1_000_000), HEIGHT, 1_000_000))
    assert count > 10_000_000
    with pytest.raises((InvalidError, TooLargeError)):
        inspect(path)


def test_entities_that_unfold_without_end_do_no_harm(tmp_path: Path, cmu_slide: Path) -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    xml = f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY e0 "ha">{levels}]><OME>&e11;</OME>'
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path,
        np.zeros((256, 256, 3), np.uint8),
        tile=(128, 128),
        photometric="rgb",
        description=xml,
        metadata=None,
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with contextlib.suppress(InvalidError):
        inspect_apart(path)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - before < 1_000_000


@pytest.mark.parametrize("seed", range(6))
def test_damaged_slides_never_bring_the_service_down(
    client: TestClient, cmu_slide: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    data = np.frombuffer(cmu_slide.read_bytes(), np.uint8).copy()
    (start,) = struct.unpack_from("<I", data.tobytes(), 4)
    places = rng.integers(start, min(start + 600, len(data)), 12)  # the first directory
    data[places] = rng.integers(0, 256, 12)
    answer = client.post(
        "/api/v1/slides", params={"name": "a.svs"}, content=data.tobytes(), headers=BYTES
    )
    assert answer.status_code in (201, 413, 422)
    if answer.status_code == 201:
        for level in (12, 10, 5):
            tile = client.get(f"/api/v1/slides/a_files/{level}/0_0.jpeg")
            assert tile.status_code in (200, 404, 413, 502)
    assert client.get("/api/v1/slides").status_code == 200


def test_a_process_that_is_killed_while_it_looks_is_a_refusal(
    tmp_path: Path, cmu_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.slides.inspection.WAIT_S", 0.01)
    with pytest.raises(InvalidError, match="bounded memory and time"):
        inspect_apart(cmu_slide)


def test_a_picture_of_a_usual_size_is_a_slide(client: TestClient, slides_root: Path) -> None:
    Image.new("RGB", (3000, 2000), (200, 30, 90)).save(slides_root / "plain.png")
    register(client, "plain.png", mpp=0.5)
    answer = client.get("/api/v1/slides/plain_files/12/0_0.jpeg")
    assert answer.status_code == 200


@pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "relative"])
def test_no_slide_shows_the_pixels_of_another_file(
    client: TestClient, work: Path, tmp_path: Path, absolute: bool
) -> None:
    secret = tmp_path / "secret.tif"
    tifffile.imwrite(secret, np.full((256, 256, 3), 200, np.uint8), tile=(128, 128))
    path = secret if absolute else Path("../../../secret.tif")
    data = naming(str(path))
    answer = client.post(
        "/api/v1/slides", params={"name": "a.ome.tif"}, content=data, headers=BYTES
    )
    assert answer.status_code == 201, answer.text  # OpenSlide reads it, and follows no names
    assert open_slide(work / "slides" / "a" / "a.ome.tif").reader == "openslide"
    query = {"x": 0, "y": 0, "width": 256, "height": 256, "format": "png"}
    shown = client.get("/api/v1/slides/a/region", params=query)
    assert not decoded(shown.content).any()


def naming(other: str) -> bytes:
    """An OME-TIFF that says that its pixels are those of another file."""
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="256" SizeY="256" '
        'SizeC="3" SizeZ="1" SizeT="1"><Channel ID="Channel:0" SamplesPerPixel="3"/>'
        f'<TiffData><UUID FileName="{other}">urn:uuid:b</UUID></TiffData></Pixels></Image></OME>'
    )
    buffer = io.BytesIO()
    pixels = np.zeros((256, 256, 3), np.uint8)
    tifffile.imwrite(buffer, pixels, tile=(128, 128), description=xml, metadata=None)
    return buffer.getvalue()
