"""Native tiles: the slide file's own compressed blocks, without decoding and encoding them anew."""

from pathlib import Path

from wsi.geometry import Size
from wsi.native.base import NativeTiles
from wsi.native.source import is_url

__all__ = ["NativeTiles", "open_native_tiles"]


def open_native_tiles(
    location: str, level_index: int, level_size: Size, reader: str
) -> NativeTiles | None:
    """Open the compressed tiles of one level of a slide.

    None where the level is not tiled, or compressed or coloured in a way that is not copied. A
    file is parsed once per process, as long as its size and time of change stay the same.

    Args:
        location: path or fsspec URL of the slide.
        level_index: the level as the slide counts it.
        level_size: the level's pixels; with them the level is found in the file.
        reader: the name of the slide's reader, whose colours the tiles must decode to.
    """
    magic = _read_magic(location)
    tiles: NativeTiles | None = None
    if magic[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        from wsi.native.tiff import open_tiff_tiles

        tiles = open_tiff_tiles(location, level_index, level_size, reader)
    elif magic[128:] == b"DICM":
        from wsi.native.dicom import open_dicom_tiles

        tiles = open_dicom_tiles(location, level_index, level_size)
    if tiles is None or tiles.is_usable:
        return tiles
    tiles.close()
    return None


def _read_magic(location: str) -> bytes:
    """Read the first 132 bytes, none where that fails: then there are no native tiles either."""
    try:
        if is_url(location):
            import fsspec

            fs, path = fsspec.core.url_to_fs(location)
            return bytes(fs.cat_file(path, start=0, end=132))
        with Path(location).open("rb") as file:
            return file.read(132)
    except OSError:
        return b""
