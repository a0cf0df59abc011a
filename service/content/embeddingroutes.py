"""Routes of embeddings: which a slide has, and their files."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from models.bags.bag import Bag
from models.encoders.card import EncoderCard
from service.archives import Held
from service.auth.access import Caller, Reader
from service.content.asking import binary, files_of
from service.content.documents import EmbeddingsOut
from service.content.formats import arrow_blocks, write_npz, write_parquet, write_pt
from service.content.found import (
    FAILS,
    ArchiveName,
    EncoderId,
    SlideId,
    content_router,
    find_embeddings,
    held_or_none,
)
from service.content.hdf5 import open_outline, write_outline
from service.content.redacting import without_places
from service.content.rows import StoredBag
from service.content.sending import Sendable, of_file, send, stream, tag, unchanged
from service.reading import reading
from tiling.embeddings import Embeddings

router = content_router()

TAGS: list[Any] = ["embeddings"]
ARROW = "application/vnd.apache.arrow.stream"
MEDIA_TYPES = {
    "h5": "application/x-hdf5",
    "pt": "application/octet-stream",
    "npz": "application/x-npz",
    "parquet": "application/vnd.apache.parquet",
    "arrow": ARROW,
}
WRITERS: dict[str, Callable[[Bag, np.dtype[Any], Path], None]] = {
    "pt": write_pt,
    "npz": write_npz,
    "parquet": write_parquet,
}
BLOCK_BYTES = 1 << 22
"""What is read of embeddings at a time."""
SINGLE = ("h5", "pt")
"""Formats whose readers expect single precision, whatever is stored."""

Format = Literal["h5", "pt", "npz", "parquet", "arrow"]


class Download(BaseModel):
    """How embeddings are wanted."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    format: Format = "h5"
    """h5 as TRIDENT and CLAM read it, pt a plain tensor for torch, npz for NumPy, parquet and arrow
    a row per patch."""
    archive: str | None = Field(default=None, max_length=200, examples=["demo.zarr"])
    """Archive to look in; by default the first one that holds them."""
    dtype: Literal["float16", "float32"] | None = None
    """By default float32 in h5 and pt, whose readers expect it, elsewhere as stored."""
    keep_unreadable: bool = False
    """Also give the rows of unreadable (white) patches."""


@dataclass(frozen=True)
class Asked:
    """Embeddings that are wanted, and how.

    Attributes:
        held: the slide.
        bag: its embeddings.
        format: of the file.
        dtype: of the numbers in it.
        step: rows that are read at a time.
        etag: changes with it.
    """

    held: Held
    bag: Bag
    format: Format
    dtype: np.dtype[Any]
    step: int
    etag: str

    @property
    def name(self) -> str:
        """Name of the file."""
        return f"{self.held.store.slide_id}.{self.bag.encoder_id}.{self.format}"

    @property
    def what(self) -> str:
        """The embeddings in words."""
        return _what(self.held, self.bag.encoder_id)


def open_embeddings(held: Held, encoder: str, caller: Caller, how: Download) -> Asked:
    """Open what is wanted.

    Raises:
        CorruptStoreError: it is damaged.
    """
    with reading(_what(held, encoder)):
        bag = open_bag(held, encoder, caller, keep_unreadable=how.keep_unreadable)
        dtype = np.dtype(how.dtype or ("float32" if how.format in SINGLE else bag.dtype.name))
        etag = tag(
            [held.archive, held.store.attributes["checksum"]],
            [encoder, bag.embedding_attributes["checksum"]],
            [how.format, dtype.name, how.keep_unreadable, "phi" in caller.scopes],
        )
        return Asked(held, bag, how.format, dtype, _step(bag), etag)


def open_bag(held: Held, encoder: str, caller: Caller, *, keep_unreadable: bool) -> StoredBag:
    """Open embeddings; patient and site are told to those only who may know them."""
    bag = StoredBag(held.store, encoder, keep_unreadable=keep_unreadable)
    bag.card = EncoderCard.model_validate(without_places(bag.card.document()))
    if "phi" not in caller.scopes:
        bag.attributes = bag.attributes | {"patient": "", "site": ""}
    return bag


@router.get("/slides/{slide_id}/embeddings", tags=TAGS, responses=FAILS)
def list_embeddings(
    request: Request, caller: Reader, slide_id: SlideId, archive: ArchiveName = None
) -> list[EmbeddingsOut]:
    """List the embeddings of a slide, in all archives that hold it."""
    return [
        _described(held, encoder)
        for held in held_or_none(request, slide_id, archive)
        for encoder in held.contents.embeddings
    ]


@router.get(
    "/slides/{slide_id}/embeddings/{encoder}",
    tags=TAGS,
    response_class=Response,
    responses=binary(*dict.fromkeys(MEDIA_TYPES.values()), parts=True),
)
def get_embeddings(
    request: Request,
    caller: Reader,
    slide_id: SlideId,
    encoder: EncoderId,
    how: Annotated[Download, Query()],
) -> Response:
    """Download the embeddings of a slide with their positions, as other programs read them.

    Row i of all formats is the same patch. `arrow` is made while it is sent; of the others, parts
    can be asked for.
    """
    held = find_embeddings(request, slide_id, how.archive, encoder)
    asked = open_embeddings(held, encoder, caller, how)
    same = unchanged(request, asked.etag)
    if same is not None:
        return same
    detail = f"{encoder} of {held.archive} as {how.format}"
    request.app.state.audit.note(request, caller, "embeddings.download", slide_id, detail)
    with reading(asked.what):
        if asked.format == "arrow":
            blocks = arrow_blocks(asked.bag, asked.dtype, asked.step)
            return stream(blocks, asked.etag, ARROW, asked.name)
        return send(request, _sendable(request, asked))


def _sendable(request: Request, asked: Asked) -> Sendable:
    files, key = files_of(request), (asked.format, asked.etag)
    media_type = MEDIA_TYPES[asked.format]
    if asked.format != "h5":
        write = partial(WRITERS[asked.format], asked.bag, asked.dtype)
        path = files.get(key, f".{asked.format}", write)
        return of_file(path, asked.etag, media_type, asked.name)
    path = files.get(key, ".h5-outline", partial(write_outline, asked.bag, asked.dtype))
    found = open_outline(asked.bag, asked.dtype, asked.step, path)
    modified = path.stat().st_mtime
    return Sendable(found.size, found.read, asked.etag, media_type, asked.name, modified)


def _step(bag: StoredBag) -> int:
    """Rows of a block; whole chunks where rows are left out, since those are read as a whole."""
    row_bytes = max(1, bag.dim * bag.dtype.itemsize)
    return max(1, BLOCK_BYTES // row_bytes) if bag.is_whole else bag.block_rows


def _described(held: Held, encoder: str) -> EmbeddingsOut:
    with reading(_what(held, encoder)):
        found = Embeddings(held.store, encoder)
        return EmbeddingsOut(
            encoder=encoder,
            archive=held.archive,
            dim=found.dim,
            count=len(found),
            dtype="float16" if found.dtype == np.float16 else "float32",
            card=without_places(found.attributes.get("card")),
        )


def _what(held: Held, encoder: str) -> str:
    return f"the embeddings of {encoder!r} of {held.store.slide_id}"
