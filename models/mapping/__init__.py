"""Tissue maps of whole slides by a segmenter, on Dask."""
