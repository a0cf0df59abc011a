"""Imported once, by the process that all Dask workers on this machine are forked from."""

# ruff: noqa: F401 - workers find these imported; NumPy's library must be told first
import workflows.preload_slides  # isort: skip
import distributed
