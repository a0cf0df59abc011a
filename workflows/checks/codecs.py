"""Does every codec give back what it was given? A picture goes through each, there and back."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.checks.check import Check

if TYPE_CHECKING:
    from tiling.encoding import Encoding, Pixels

LEAST_DB = 30.0
"""JPEG 95 of a smooth picture keeps far more; a wrong colour conversion keeps far less."""


def check_codecs() -> Iterator[Check]:
    """Encode and decode a picture with every encoding that an archive may hold."""
    from tiling.encoding import JPEG2K, Encoding, parse_encoding

    jpeg2k = Encoding(JPEG2K, (("level", 0),), "jpeg2k")
    for encoding, exact in (
        (parse_encoding("jpeg:95", "check"), False),
        (jpeg2k, True),
        (parse_encoding("lossless", "check"), True),
        (parse_encoding("raw", "check"), True),
    ):
        yield _round_trip(encoding, exact=exact)


def _round_trip(encoding: "Encoding", *, exact: bool) -> Check:
    from tiling.encoding import decode_patch, encode_patch
    from tiling.errors import CorruptStoreError

    name = f"codec {encoding.label}"
    picture = _picture()
    try:
        data = encode_patch(picture, encoding)
        back = decode_patch(data, encoding).reshape(picture.shape)
    except (CorruptStoreError, ImportError, OSError, ValueError, RuntimeError) as err:
        return Check(name, "fail", f"does not work: {err}", "pip install imagecodecs simplejpeg")
    decibel = _psnr(picture, back)
    if decibel < (float("inf") if exact else LEAST_DB):
        advice = "the codec library is broken; install imagecodecs and simplejpeg anew"
        return Check(name, "fail", f"gives other pixels, PSNR {decibel:.1f} dB", advice)
    kept = "exact" if exact else f"PSNR {decibel:.0f} dB"
    return Check(name, "ok", f"{kept}, {len(data) / picture.nbytes:.0%} of the bytes")


def _picture() -> "Pixels":
    """Make 64 x 64 px in which no two channels are alike."""
    import numpy as np

    row, column = np.mgrid[0:64, 0:64]
    channels = (255 - 2 * row, 60 + 2 * column, 120 + row)
    return np.stack(channels, axis=2).astype(np.uint8)


def _psnr(one: "Pixels", other: "Pixels") -> float:
    from tiling.verify import psnr

    return psnr(one, other)
