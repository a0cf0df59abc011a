"""One slide of ready-made patches: which bytes are kept, and the group that holds them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiling.encoding import (
    JPEG,
    PNG,
    ZSTD,
    Encoding,
    bytes_bound,
    encode_patch,
)
from tiling.importing import group
from tiling.importing.group import MASKS, MISSING_MASK, Known, Place
from tiling.importing.images import (
    ImageError,
    Probe,
    decode_any,
    decode_kept,
    read_mask,
    resize,
    resize_mask,
)
from tiling.importing.planning import (
    SHOWN,
    PatchOptions,
    Plan,
    lossless,
    plan_slide,
    resolution,
    unreadable,
)
from tiling.importing.rows import Row
from tiling.importing.sets import SlideSet
from tiling.pixels import white
from tiling.plan import SHARD_BYTES, shard_capacity
from tiling.preview import pick_evenly
from tiling.store import SlideWriter
from tiling.tiles import OK, UNREADABLE

Pixels = NDArray[np.uint8]

MASK_ENCODING = Encoding(ZSTD, (("checksum", False), ("level", 3)), "lossless")
WHITE = {JPEG: Encoding(JPEG, (("level", 95), ("subsampling", "444"))), PNG: Encoding(PNG)}
"""How the white of an unreadable patch is stored among kept ones."""


@dataclass(frozen=True)
class PatchJob:
    """Imports one slide; see `tiling.importing.group.Job`."""

    slide: SlideSet
    options: PatchOptions
    location: str

    @property
    def slide_id(self) -> str:
        """Name of its group."""
        return self.slide.slide_id

    def __len__(self) -> int:
        """Number of patches."""
        return len(self.slide.rows)

    def config_hash(self) -> str:
        """Hash all that is stored besides the files' bytes."""
        slide = self.slide
        settings = asdict(self.options) | {"kind": "patches", "split": slide.split}
        del settings["skip_unreadable"]  # decides whether a slide fails, not what it looks like
        settings |= {"patient": slide.patient, "site": slide.site, "label": slide.label}
        settings |= {"slide_mpp": slide.mpp, "names": [row.name for row in slide.rows]}
        settings["coords"] = None if slide.coords is None else slide.coords.tolist()
        if slide.labels is not None:
            settings["labels"] = [slide.labels.names, slide.labels.values.tolist()]
        return group.hash_settings(settings)

    def fingerprint(self) -> dict[str, Any]:
        """Identify the images and the masks."""
        images = [(row.name, row.path) for row in self.slide.rows]
        masks = [(f"{row.name} mask", row.mask) for row in self.slide.rows if row.mask]
        return group.files_fingerprint(self.location, images + masks)

    def build(self, place: Place) -> dict[str, Any]:
        """Write the slide's arrays; gives its attributes.

        Raises:
            DamagedSlideError: images cannot be read.
            PlanError: they are not square or of several sizes.
        """
        plan = plan_slide(self.slide, self.options, place)
        try:
            return _Build(self, plan, place).write()
        except _NotKeptError as err:  # a codestream that only a laxer decoder takes
            again = replace(plan, encoding=lossless(f"{err}; all are stored decoded"))
            return _Build(self, again, place).write()


class _NotKeptError(Exception):
    """Bytes that were to be kept are not decoded by their codec."""


@dataclass(frozen=True)
class _Patch:
    """One patch, ready to be stored.

    Attributes:
        chunk: its bytes; empty where it cannot be read.
        mask: `(P, P)` u1; None where there is none.
        picture: small, for the thumbnail; None unless asked for.
        errors: sentences about what cannot be read, of the image and of the mask.
    """

    chunk: bytes
    mask: Pixels | None = None
    picture: Pixels | None = None
    image_error: str = ""
    mask_error: str = ""


class _Build:
    """Writes the arrays of one slide, shard after shard."""

    def __init__(self, job: PatchJob, plan: Plan, place: Place) -> None:
        self.job, self.plan, self.place = job, plan, place
        self.rows = job.slide.rows
        self.writer: SlideWriter = place.writer()
        self.status = np.full(len(self.rows), OK, np.uint8)
        self.pictures: list[Pixels] = []
        self.bad: list[str] = []
        self.mask_counts = np.zeros(256, np.int64)
        self.masked = any(row.mask for row in self.rows)
        self.masks_missing = 0
        self._pictured = set(pick_evenly(len(self.rows), group.PICTURED).tolist())
        blank = white(plan.side_px)
        self._white = encode_patch(blank, WHITE.get(plan.encoding.codec, plan.encoding))
        self.capacity = shard_capacity(self._sizes(), SHARD_BYTES)

    def _sizes(self) -> NDArray[np.int64]:
        bound = bytes_bound(self.plan.encoding, self.plan.side_px)
        kept = self.plan.kept
        return np.array(
            [p.size if kept and isinstance(p, Probe) else bound for p in self.plan.probes], np.int64
        )

    def write(self) -> dict[str, Any]:
        """Write everything but the slide's document."""
        for number in range(-(-len(self.rows) // self.capacity)):
            self.place.check()
            self._write_shard(number)
        if self.bad and not self.job.options.skip_unreadable:
            raise unreadable(self.job.slide, self.bad)
        if (self.status == UNREADABLE).all():
            raise unreadable(self.job.slide, self.bad)
        return self._finish()

    def _write_shard(self, number: int) -> None:
        first = number * self.capacity
        indices = range(first, min(first + self.capacity, len(self.rows)))
        chunks, masks = [], []
        for i, patch in zip(indices, self.place.pool.map(self._read, indices), strict=True):
            chunks.append(patch.chunk or self._white)
            self._note(i, patch)
            if self.masked:
                masks.append(self._mask(patch))
        size = self.writer.put_shard(number, chunks, self.capacity)
        if self.masked:
            size += group.put_sharded(
                self.writer, MASKS, masks, number=number, capacity=self.capacity, axes=3
            )
        self.place.advance(len(chunks), size)

    def _note(self, i: int, patch: _Patch) -> None:
        where = self.rows[i].where
        if patch.image_error:
            self.status[i] = UNREADABLE
            self.bad.append(f"{where}: {patch.image_error}")
        if patch.mask_error:
            self.bad.append(f"{where}: the mask {patch.mask_error}")
        if patch.picture is not None:
            self.pictures.append(patch.picture)

    def _mask(self, patch: _Patch) -> bytes:
        side = self.plan.side_px
        mask = patch.mask
        if mask is None:
            self.masks_missing += 1
            mask = np.full((side, side), MISSING_MASK, np.uint8)
        else:
            self.mask_counts += np.bincount(mask.ravel(), minlength=256)
        return encode_patch(mask, MASK_ENCODING)

    def _read(self, i: int) -> _Patch:
        """Read one patch and its mask; runs on a thread of the pool."""
        row, found, side = self.rows[i], self.plan.probes[i], self.plan.side_px
        if isinstance(found, str):
            return _Patch(b"", image_error=found)
        try:
            chunk, pixels = self._image(row, found)
        except ImageError as err:
            return _Patch(b"", image_error=str(err))
        picture = resize(pixels, min(side, group.CELL_PX)) if i in self._pictured else None
        if row.mask is None:
            return _Patch(chunk, picture=picture)
        try:
            mask = read_mask(row.mask)
        except ImageError as err:
            return _Patch(chunk, picture=picture, mask_error=str(err))
        if mask.shape != (found.height, found.width):
            size = f"{mask.shape[1]} x {mask.shape[0]} px"
            return _Patch(chunk, picture=picture, mask_error=f"has {size}, not the image's size")
        return _Patch(chunk, np.ascontiguousarray(resize_mask(mask, side)), picture)

    def _image(self, row: Row, found: Probe) -> tuple[bytes, Pixels]:
        side = self.plan.side_px
        try:
            data = Path(row.path).read_bytes()
        except OSError as err:
            raise ImageError(f"cannot be read: {err.strerror or err}") from err
        if self.plan.kept:
            pixels = decode_kept(data, found.codec)
            if pixels is not None and pixels.shape == (side, side, 3):
                return data, pixels
            decode_any(data)  # says what is wrong where nothing decodes it
            raise _NotKeptError(f"the bytes of {row.name} are no clean {found.kind}")
        pixels = decode_any(data)
        if pixels.shape[:2] != (side, side):
            pixels = resize(pixels, side)
        return encode_patch(np.ascontiguousarray(pixels), self.plan.encoding), pixels

    def _finish(self) -> dict[str, Any]:
        slide, plan = self.job.slide, self.plan
        shape = (plan.side_px, plan.side_px, 3)
        coords = slide.coords
        if coords is None:
            coords = group.made_up_coords(len(self.rows), plan.side_px)
        names = (row.name for row in self.rows)
        group.put_small(self.writer, coords, self.status, self.pictures, names, labels=slide.labels)
        self.writer.put_patches_document(len(self.rows), plan.side_px, self.capacity, plan.encoding)
        if self.masked:
            self._put_masks_document()
        known = Known(slide.slide_id, slide.patient, slide.site, slide.label, slide.split)
        return group.attributes(
            known,
            self.job.fingerprint(),
            resolution(slide, self.job.options, plan),
            plan.encoding,
            coords=coords,
            status=self.status,
            patches=(shape, self.capacity),
        ) | {
            "import": self._record(),
            "checksums": self.writer.checksums,
            "config_hash": self.job.config_hash(),
        }

    def _put_masks_document(self) -> None:
        values = np.flatnonzero(self.mask_counts).tolist()
        facts = {"missing": MISSING_MASK, "n_missing": self.masks_missing, "values": values}
        self.writer.put_sharded_document(
            MASKS,
            (len(self.rows), self.plan.side_px, self.plan.side_px),
            "u1",
            capacity=self.capacity,
            encoding=MASK_ENCODING,
            attributes={"microtome": facts},
        )

    def _record(self) -> dict[str, Any]:
        good = [found for found in self.plan.probes if isinstance(found, Probe)]
        sizes = Counter((found.width, found.height) for found in good)
        side = (self.plan.side_px, self.plan.side_px)
        resized = [[w, h, n] for (w, h), n in sorted(sizes.items()) if (w, h) != side]
        return {
            "kind": "patches",
            "coords": "made up" if self.job.slide.coords is None else "given",
            "resized": resized,
            "problems": self.bad[:SHOWN],
        }


def patch_jobs(
    slides: Sequence[SlideSet], options: PatchOptions, location: str
) -> Iterator[PatchJob]:
    """Give the jobs of an import."""
    return (PatchJob(slide, options, location) for slide in slides)
