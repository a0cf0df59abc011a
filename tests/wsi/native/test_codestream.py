import io

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from wsi.errors import RegionError
from wsi.geometry import Size
from wsi.native.codestream import (
    EOI,
    SOI,
    JpegAssembler,
    adobe_marker,
    check_jpeg2k,
    iter_segments,
    parse_jpeg,
    split_tables,
)

RNG = np.random.default_rng(5)
NOISE = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
FULL = simplejpeg.encode_jpeg(NOISE, 80, "RGB", "420")


def make_assembler(**options: object) -> JpegAssembler:
    defaults = {"tables": b"", "rgb": None, "jfif_wins": False}
    return JpegAssembler(Size(64, 48), 3, **(defaults | options))  # type: ignore[arg-type]


def with_marker(jpeg: bytes, marker: bytes) -> bytes:
    """Put a marker in front of a JPEG from which its own JFIF marker is taken."""
    first = next(iter_segments(jpeg))
    return SOI + marker + jpeg[first.stop :]


def shows_rgb_by_pillow(jpeg: bytes) -> bool:
    """An independent answer: libjpeg as Pillow binds it, asked for pixels without conversion."""
    as_ycc = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)
    ycc = np.asarray(Image.open(io.BytesIO(with_marker(FULL, adobe_marker(1))))).astype(int)
    return bool(np.abs(as_ycc - ycc).mean() > 1)


def test_split_and_assembled_again_decodes_to_the_same_pixels() -> None:
    tables, tile = split_tables(FULL)
    assert len(tables) + len(tile) < len(FULL)
    whole = make_assembler(tables=tables, rgb=False).assemble(tile)
    np.testing.assert_array_equal(simplejpeg.decode_jpeg(whole), simplejpeg.decode_jpeg(FULL))


def test_abbreviated_stream_alone_does_not_decode() -> None:
    _, tile = split_tables(FULL)
    with pytest.raises(ValueError, match=r"[Tt]able"):
        simplejpeg.decode_jpeg(tile)


def test_one_encoder_uses_one_set_of_tables() -> None:
    dark = simplejpeg.encode_jpeg(NOISE // 9, 80, "RGB", "420")
    assert split_tables(dark)[0] == split_tables(FULL)[0]


def test_header_of_a_jpeg() -> None:
    header = parse_jpeg(FULL)
    assert header.size == Size(64, 48)
    assert header.component_ids == (1, 2, 3)
    assert header.has_jfif
    assert FULL[header.length - 10 : header.length - 8] == b"\x03\x01"  # SOS: 3 components, first 1


@pytest.mark.parametrize(
    "marker",
    [
        pytest.param(b"", id="none"),
        pytest.param(adobe_marker(0), id="adobe-0"),
        pytest.param(adobe_marker(1), id="adobe-1"),
        pytest.param(
            b"\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0" + adobe_marker(0), id="jfif-adobe-0"
        ),
    ],
)
def test_colour_by_markers_is_libjpegs(marker: bytes) -> None:
    jpeg = with_marker(FULL, marker)
    assert parse_jpeg(jpeg).shows_rgb == shows_rgb_by_pillow(jpeg)


@pytest.mark.parametrize("rgb", [True, False])
@pytest.mark.parametrize("own", [b"", adobe_marker(0), adobe_marker(1)], ids=["none", "0", "1"])
def test_assembled_jpeg_has_the_colour_asked_for(rgb: bool, own: bytes) -> None:
    whole = make_assembler(rgb=rgb).assemble(with_marker(FULL, own))
    assert shows_rgb_by_pillow(whole) == rgb


def test_jfif_is_overruled_or_wins() -> None:
    assert shows_rgb_by_pillow(make_assembler(rgb=True).assemble(FULL))
    assert make_assembler(rgb=True, jfif_wins=True).assemble(FULL) == FULL


def test_a_jpeg_that_needs_nothing_stays_as_it_is() -> None:
    assert make_assembler(rgb=False).assemble(memoryview(FULL)) == FULL


def test_padding_behind_the_end_is_kept_and_harmless() -> None:
    padded = make_assembler(rgb=False).assemble(FULL + b"\0\0\0")
    assert padded == FULL + b"\0\0\0"
    np.testing.assert_array_equal(simplejpeg.decode_jpeg(padded), simplejpeg.decode_jpeg(FULL))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "no JPEG", id="empty"),
        pytest.param(b"\0" * 99, "no JPEG", id="zeros"),
        pytest.param(FULL[:-2], "no end marker", id="no-end"),
        pytest.param(FULL[:400], "no frame or no scan|does not fit", id="header-only"),
        pytest.param(FULL[: len(FULL) // 2], "no end marker", id="half"),
        pytest.param(SOI + EOI, "no frame or no scan", id="nothing-inside"),
        pytest.param(FULL[:2] + b"\x12" + FULL[3:], "no marker at byte 2", id="no-marker"),
        pytest.param(FULL[:4] + b"\xff\xff" + FULL[6:], "does not fit", id="endless-segment"),
        pytest.param(FULL[:4] + b"\0\0" + FULL[6:], "does not fit", id="empty-segment"),
        pytest.param(
            simplejpeg.encode_jpeg(NOISE[:32], 80, "RGB", "420"), "expected", id="other-size"
        ),
        pytest.param(
            simplejpeg.encode_jpeg(NOISE[..., :1].copy(), 80, "GRAY", "Gray"), "expected", id="grey"
        ),
    ],
)
def test_broken_jpeg_is_an_error(data: bytes, message: str) -> None:
    with pytest.raises(RegionError, match=message):
        make_assembler(rgb=False).assemble(data)


def test_broken_tables_are_an_error() -> None:
    with pytest.raises(RegionError, match="tables"):
        make_assembler(tables=b"\0\1\2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda d: d[:-2], "cut off", id="no-end"),
        pytest.param(lambda d: b"\0" + d[1:], "no SOC", id="no-start"),
        pytest.param(lambda d: d[:30], "ends inside", id="short"),
        pytest.param(lambda d: d[:8] + b"\0\0\0\0" + d[12:], "impossible", id="no-width"),
        pytest.param(lambda d: d[:8] + b"\0\0\0\x20" + d[12:], "expected", id="other-width"),
    ],
)
def test_broken_jpeg2k_is_an_error(change: object, message: str) -> None:
    import imagecodecs

    whole = bytes(imagecodecs.jpeg2k_encode(NOISE, level=40, codecformat="j2k"))
    check_jpeg2k(whole, Size(64, 48))
    with pytest.raises(RegionError, match=message):
        check_jpeg2k(change(whole), Size(64, 48))  # type: ignore[operator]


def test_jpeg2k_in_boxes_is_accepted() -> None:
    import imagecodecs

    check_jpeg2k(bytes(imagecodecs.jpeg2k_encode(NOISE, codecformat="jp2")), Size(64, 48))
