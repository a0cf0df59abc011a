"""Masks of patches as palette PNGs, as LUAD-HistoSeg and BCSS-WSSS have them."""

from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workflows.beside import write_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.segmentation.card import TissueCard
    from tiling.store import PatchStore

WHITE = (255, 255, 255)
"""Colour of background, the number after the last class."""


def write_layers(
    store: "PatchStore", arrays: "Sequence[str]", card: "TissueCard", folder: str
) -> None:
    """Write every mask of a slide, `PM_<layer>/<slide>_<number>.png`.

    Args:
        store: the slide.
        arrays: of masks.
        card: of the classifier that made them: its classes have colours.
        folder: to write to; what is there is replaced.
    """
    from models.segmentation.layers import about_masks
    from tiling.reader import PatchReader

    for array in arrays:
        about = about_masks(store, array) or {}
        place = Path(folder).expanduser() / f"PM_{about.get('layer', array)}"
        place.mkdir(parents=True, exist_ok=True)
        with closing(PatchReader(store, array)) as reader:
            for number, mask in enumerate(reader):
                path = place / f"{store.slide_id.replace('/', '_')}_{number:06d}.png"
                write_file(str(path), palette_png(mask, card.palette))


def palette_png(mask: "NDArray[np.uint8]", colours: "Sequence[tuple[int, int, int]]") -> bytes:
    """Give a mask as a PNG of class numbers with a palette; background is white."""
    from PIL import Image

    picture = Image.fromarray(mask, "P")
    picture.putpalette([value for colour in (*colours, WHITE) for value in colour])
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
