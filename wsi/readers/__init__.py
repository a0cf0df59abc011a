"""Readers: one module per library, and the table that finds them."""

from wsi.readers.registry import READERS, ReaderEntry, open_slide, reader_class, slide_extensions

__all__ = ["READERS", "ReaderEntry", "open_slide", "reader_class", "slide_extensions"]
