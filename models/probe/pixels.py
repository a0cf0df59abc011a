"""Pixels of rows of `Cases`, read from the archive batch by batch."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from models.data import PatchDataset, iterate_batches
from models.errors import DataError
from models.probe.cases import Cases, Indices
from models.probe.tuned import Pixels
from tiling.store import Archive


def archive_pixels(archive: Archive, cases: Cases) -> Pixels:
    """Give what reads patches, uint8 (B, P, P, 3), decoded ahead on several threads.

    Raises:
        DataError: patches are no 8-bit RGB, or slides have several patch sizes.
    """
    data = PatchDataset(archive.location, cases.slide_ids, unreadable=True, labels=False)
    if data.dtype != np.uint8 or data.patch_shape[-1] != 3:
        raise DataError(
            f"encoders take 8-bit RGB patches; these are {data.dtype} {data.patch_shape}"
        )
    firsts = np.searchsorted(data.slide_of, np.arange(len(cases.slide_ids)))
    numbers = {slide.slide_id: i for i, slide in enumerate(data.slides)}
    first = firsts[[numbers[slide_id] for slide_id in cases.slide_ids]]

    def read(rows: Indices, batch: int) -> Iterator[Tensor]:
        order = first[cases.slide[rows]] + cases.index[rows]
        return (part.pixels for part in iterate_batches(data, order, batch_size=batch))

    return read
