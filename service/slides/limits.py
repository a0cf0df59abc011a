"""How large a slide's parts may claim to be, so that no file makes this process run out of memory.

What is limited is what a reader must decode at once: a picture of one piece, a compressed tile,
an associated image. The slide itself may be of any size.
"""

import struct
from pathlib import Path

from service.errors import TooLargeError
from wsi import Slide

PICTURE_PX = 50_000_000
"""Of a plain picture (PNG, JPEG), which is decoded whole and kept in memory while it is open."""
TILE_PX = 4096 * 4096
"""Of a compressed tile or strip; scanners write 240 to 2048 px a side."""
ASSOCIATED_PX = 50_000_000
"""Of a label, a macro image or a thumbnail."""
COARSEST_PX = 1 << 34
"""Of the coarsest level, all of which is read for an overview, piece by piece."""

DAMAGE = (OSError, ValueError, TypeError, LookupError, ArithmeticError, struct.error)


def check_limits(slide: Slide) -> None:
    """Refuse a slide of which a part is too large to be decoded at once.

    Raises:
        TooLargeError: it names the part.
    """
    if slide.reader == "image" and slide.size.area > PICTURE_PX:
        raise TooLargeError(
            f"a picture of {slide.size.width} x {slide.size.height} px is read at once; convert "
            "it to a tiled TIFF"
        )
    coarsest = min(level.size.area for level in slide.levels)
    if coarsest > COARSEST_PX:
        raise TooLargeError(f"its coarsest level claims {coarsest:,} px")
    for level in slide.levels:
        area = _tile_area(slide, level.index)
        if area > TILE_PX:
            raise TooLargeError(f"level {level.index} has tiles of {area:,} px")
    if slide.reader == "tiffslide":
        _check_pages(slide.location)


def associated_area(slide: Slide, name: str) -> int | None:
    """Pixels that an associated image claims to have; None where the reader does not say."""
    named = f"{slide.reader}.associated.{name}"
    try:
        return int(slide.properties[f"{named}.width"]) * int(slide.properties[f"{named}.height"])
    except (KeyError, ValueError):
        return None


def _tile_area(slide: Slide, level: int) -> int:
    named = f"{slide.reader}.level[{level}]"
    try:
        width = int(slide.properties[f"{named}.tile-width"])
        return width * int(slide.properties[f"{named}.tile-height"])
    except (KeyError, ValueError):
        return 0


def _check_pages(location: str) -> None:
    """Refuse pages of which one piece is too large; tifffile reads the directories only."""
    import tifffile

    if not Path(location).is_file():
        return
    try:
        with tifffile.TiffFile(location) as tif:
            areas = [_piece_area(page.aspage()) for page in tif.pages]
    except DAMAGE as err:
        raise TooLargeError("its directories cannot be read") from err
    if max(areas, default=0) > PICTURE_PX:
        raise TooLargeError(f"it has a page of which {max(areas):,} px are read at once")


def _piece_area(page: object) -> int:
    """Pixels of a tile, or of a whole page that has none."""
    tile = int(getattr(page, "tilewidth", 0)) * int(getattr(page, "tilelength", 0))
    return tile or int(getattr(page, "imagewidth", 0)) * int(getattr(page, "imagelength", 0))
