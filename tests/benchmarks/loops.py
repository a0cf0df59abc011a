"""What users have today: plain loops around public readers. One process each."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Coords = NDArray[np.int32]
Pixels = NDArray[np.uint8]
Read = Callable[[int, int, int], Pixels]
SHARD = 256


def openslide_reader(path: Path) -> Read:
    """Read RGB squares through OpenSlide."""
    import openslide

    slide = openslide.OpenSlide(path)
    return lambda x, y, side: np.asarray(slide.read_region((x, y), 0, (side, side)).convert("RGB"))


def tiffslide_reader(path: Path) -> Read:
    """Read RGB squares through TiffSlide."""
    import tiffslide

    slide = tiffslide.TiffSlide(path)
    return lambda x, y, side: slide.read_region((x, y), 0, (side, side), as_array=True)


def cucim_reader(path: Path) -> Read:
    """Read RGB squares through cuCIM on the CPU."""
    from cucim import CuImage

    slide = CuImage(str(path))
    return lambda x, y, side: np.asarray(slide.read_region((x, y), (side, side), 0))


def fastslide_reader(path: Path) -> Read:
    """Read RGB squares through fastslide."""
    import fastslide

    slide = fastslide.FastSlide.from_file_path(str(path))
    return lambda x, y, side: slide.read_region((x, y), 0, (side, side)).numpy()


def read_all(read: Read, coords: Coords, side: int) -> None:
    """Only read."""
    for x, y in coords.tolist():
        read(x, y, side)


def to_zarr(read: Read, coords: Coords, side: int, out: Path) -> int:
    """Baseline B: read, then a sharded array with zarr-python's default codec; gives its bytes."""
    import zarr

    shape = (len(coords), side, side, 3)
    array = zarr.create_array(
        str(out), shape=shape, chunks=(1, *shape[1:]), shards=(SHARD, *shape[1:]), dtype="u1"
    )
    for start in range(0, len(coords), SHARD):
        block = [read(x, y, side) for x, y in coords[start : start + SHARD].tolist()]
        array[start : start + len(block)] = np.stack(block)
    return sum(file.stat().st_size for file in out.rglob("*") if file.is_file())


def to_jpeg(
    read: Read, coords: Coords, side: int, patch_px: int, sampling: str = "444"
) -> Iterator[bytes]:
    """Read, reduce by area, encode as JPEG 95; the encoder is the one that we use."""
    import simplejpeg
    from PIL import Image

    for x, y in coords.tolist():
        pixels = read(x, y, side)
        if side != patch_px:
            pixels = np.asarray(Image.fromarray(pixels).reduce(side // patch_px))
        yield simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), 95, "RGB", sampling)


def peers(path: Path) -> Iterator[tuple[str, Read]]:
    """Give the readers that are installed."""
    makers = {
        "OpenSlide": openslide_reader,
        "TiffSlide": tiffslide_reader,
        "cuCIM": cucim_reader,
        "fastslide": fastslide_reader,
    }
    for name, make in makers.items():
        try:
            read = make(path)
            read(0, 0, 256)
        except Exception as err:  # noqa: BLE001 - a peer that does not work here is reported, not fatal
            warnings.warn(f"{name} does not work here: {err!r}", stacklevel=2)
            continue
        yield name, read
