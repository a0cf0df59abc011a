"""`python -m tests.benchmarks.large_map ARCHIVE WIDTH`: write a wide map; print the peak in MB.

Its windows are all alike and no network is loaded, so that the memory is that of stitching alone.
"""

import sys
from pathlib import Path

import numpy as np

from tests.tiling.networks import plan_over
from tiling.mapwriter import MapWriter
from tiling.store import Archive

WINDOW_PX, OVERLAP_PX, HEIGHT_PX = 224, 56, 4096


def main(location: str, width_px: int) -> None:
    """Write the map into the archive's slide `s`."""
    plan = plan_over(HEIGHT_PX, width_px, WINDOW_PX, OVERLAP_PX)
    probabilities = np.full((3, WINDOW_PX, WINDOW_PX), 21845, np.uint16)
    writer = MapWriter(Archive.open(location)["s"], "large", plan, overwrite=True)
    for window in writer.todo:
        writer.add(window, probabilities.copy())
    writer.finish()
    # not of getrusage, which counts what the process that started this one held
    status = Path("/proc/self/status").read_text()
    print(int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
