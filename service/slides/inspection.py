"""Whether a file really is a slide: it is opened, and pixels of every level are read.

An uploaded file is nobody's friend, so that is done in a process of its own, with limits on
memory and time: `python -m service.slides.inspection FILE NAME [MPP]` writes what it found.
"""

import json
import os
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from service.errors import InvalidError, TooLargeError
from service.slides.limits import check_limits
from wsi import (
    MissingMppError,
    MppRecord,
    Point,
    Region,
    RegionError,
    Size,
    Slide,
    SlideError,
    UnsupportedSlideError,
    fingerprint,
    open_slide,
)

MEMORY_BYTES = 6 << 30
"""Address space of the process that looks at an upload; threads of libraries take most of it."""
CPU_S = 120
WAIT_S = 300
PROBE_PX = 256
MOST_TEXT = 100

# Formats of one file. Others name further files by path, and an upload must not reach those.
MAGICS = (
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"ZISRAWFILE",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"BM",
    b"RIFF",
)


@dataclass(frozen=True)
class Facts:
    """What was found in a slide; `mpp_x` and `mpp_y` are None where nobody says."""

    reader: str
    vendor: str
    width: int
    height: int
    mpp_x: float | None
    mpp_y: float | None
    size_bytes: int
    quick_hash: str


def inspect(location: Path, mpp: float | None = None) -> Facts:
    """Open a slide, read a little of every level, and say what it is.

    Raises:
        InvalidError: it is no slide that can be read.
        TooLargeError: a part of it is too large.
    """
    try:
        with open_slide(location, mpp=mpp) as slide:
            check_limits(slide)
            _probe(slide)
            return _facts(slide)
    except UnsupportedSlideError as err:
        raise InvalidError("it is no slide of a known format, or damaged beyond that") from err
    except RegionError as err:
        raise InvalidError("it is damaged: its pixels cannot be read") from err
    except SlideError as err:
        raise InvalidError("it is damaged or empty: it cannot be opened") from err


def inspect_apart(location: Path, mpp: float | None = None) -> Facts:
    """Do the same in a process of its own, which a hostile file may bring down.

    Raises:
        InvalidError: it is no slide that can be read, in bounded memory and time.
        TooLargeError: a part of it is too large.
    """
    require_one_file(location)
    words = [sys.executable, "-m", __name__, str(location), *([] if mpp is None else [str(mpp)])]
    environ = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        found = subprocess.run(
            words, capture_output=True, text=True, timeout=WAIT_S, env=environ, check=False
        )
        answer = json.loads(found.stdout)
    except (subprocess.TimeoutExpired, ValueError) as err:
        raise InvalidError("it cannot be read in bounded memory and time") from err
    if "refused" in answer:
        raise (TooLargeError if answer["large"] else InvalidError)(answer["refused"])
    return Facts(**answer)


def require_one_file(location: Path) -> None:
    """Refuse a file that does not start as a slide of one file does.

    Raises:
        InvalidError: it does not.
    """
    with location.open("rb") as file:
        start = file.read(132)
    if not start.startswith(MAGICS) and start[128:] != b"DICM":
        raise InvalidError("it is no slide of a known format that is one file")


def _probe(slide: Slide) -> None:
    for level in slide.levels:
        middle = Point(slide.size.width // 2, slide.size.height // 2)
        side = Size(min(PROBE_PX, level.size.width), min(PROBE_PX, level.size.height))
        slide.read_region(Region(middle, level.index, side))


def _facts(slide: Slide) -> Facts:
    known = fingerprint(slide.location)
    try:
        mpp: MppRecord | None = slide.mpp
    except MissingMppError:
        mpp = None
    return Facts(
        reader=slide.reader,
        vendor=slide.vendor[:MOST_TEXT],
        width=slide.size.width,
        height=slide.size.height,
        mpp_x=None if mpp is None else mpp.x,
        mpp_y=None if mpp is None else mpp.y,
        size_bytes=known["size"],
        quick_hash=known["quick_hash"],
    )


def _main(location: str, mpp: str | None = None) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer = asdict(inspect(Path(location), None if mpp is None else float(mpp)))
    except (InvalidError, TooLargeError) as err:
        answer = {"refused": str(err), "large": isinstance(err, TooLargeError)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _main(*sys.argv[1:])
