"""Imported once, by the process that those which cut slides are forked from.

A process must have one thread when it forks, so NumPy's library is told to start none.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# ruff: noqa: F401 - the setting comes first; workers find these imported
import openslide
import scipy.ndimage

import tiling.cut
import tiling.prepare
