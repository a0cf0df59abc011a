"""Runs a training function: in this process, in several, or on a GPU worker of a Dask cluster."""
