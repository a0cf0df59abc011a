"""Native tiles against the slide's reader, on real slides and on files of every kind of colour."""

from collections.abc import Callable
from pathlib import Path

import fsspec
import imagecodecs
import numpy as np
import pytest
import simplejpeg
import tifffile

from tests.wsi.native.conftest import Pixels
from wsi.errors import InvalidRequestError
from wsi.geometry import Size
from wsi.native import NativeTiles, open_native_tiles, tiff
from wsi.native.codestream import SOI, adobe_marker, iter_segments, name_components
from wsi.native.tiles import ycc_to_rgb
from wsi.synthetic import SvsSpec, write_pyramid, write_svs
from wsi.synthetic.container import (
    DESCRIPTION,
    SOFTWARE,
    SUBFILE,
    SUBSAMPLING,
    Page,
    TiffBuilder,
    image_tags,
)
from wsi.synthetic.encoding import JpegEncoder, rgb_to_ycc
from wsi.synthetic.pyramid import cut_tiles
from wsi.synthetic.svs import reduce_area

Difference = Callable[..., int]
Open = Callable[..., NativeTiles]


def decode_standalone(tiles: NativeTiles, data: bytes) -> Pixels:
    """As a reader of the archive does: imagecodecs without arguments."""
    return (
        imagecodecs.jpeg8_decode(data) if tiles.codec == "jpeg" else imagecodecs.jpeg2k_decode(data)
    )


@pytest.mark.parametrize("reader", ["openslide", "tiffslide"])
def test_real_jpeg_svs_equals_the_reader(
    cmu_slide: Path, worst_difference: Difference, reader: str
) -> None:
    assert worst_difference(cmu_slide, reader=reader) == 0


@pytest.mark.slides
def test_real_jpeg2000_svs_equals_openslide(
    slides_folder: Path, worst_difference: Difference
) -> None:
    # Exactly, as measured: both decode with OpenJPEG.
    slide = slides_folder / "TCGA-CR-7395-01A-01-TS1.svs"
    assert [worst_difference(slide, level) for level in (0, 1)] == [0, 0]


@pytest.mark.slides
def test_real_ome_tiff_equals_tiffslide(slides_folder: Path, worst_difference: Difference) -> None:
    assert worst_difference(slides_folder / "OS-2-ndpi.ome.tif", reader="tiffslide") == 0


@pytest.mark.slides
def test_ndpi_and_uncompressed_have_none(slides_folder: Path, tmp_path: Path) -> None:
    ndpi = str(slides_folder / "test3-DAPI-2-387.ndpi")
    assert open_native_tiles(ndpi, 0, Size(3968, 4864), "openslide") is None
    mask = slides_folder / "masks" / "pyramidal-tissue-mask" / "hs2p-test-mask.tif"
    assert open_native_tiles(str(mask), 0, Size(864, 800), "openslide") is None


@pytest.mark.parametrize("codec", ["raw", "deflate"])
def test_lossless_pyramid_has_none(tmp_path: Path, tissue: Pixels, codec: str) -> None:
    write_pyramid(tmp_path / "a.tif", tissue, codec=codec)  # type: ignore[arg-type]
    assert open_native_tiles(str(tmp_path / "a.tif"), 0, Size(1300, 1100), "openslide") is None


def test_other_sizes_and_other_files_have_none(cmu_slide: Path, tmp_path: Path) -> None:
    assert open_native_tiles(str(cmu_slide), 0, Size(2220, 2966), "openslide") is None
    (tmp_path / "a.svs").write_bytes(b"no slide")
    (tmp_path / "empty.svs").touch()
    for name in ("a.svs", "empty.svs", "missing.svs"):
        assert open_native_tiles(str(tmp_path / name), 0, Size(9, 9), "openslide") is None


def test_standalone_codestreams_decode_alike(cmu_slide: Path, open_level: Open) -> None:
    tiles = open_level(cmu_slide)
    assert tiles.standalone
    for column, row in [(0, 0), (5, 7), (9, 12)]:
        data = tiles.read(column, row)
        assert data is not None
        np.testing.assert_array_equal(decode_standalone(tiles, data), tiles.decode(data))


def test_grid_and_byte_counts(cmu_slide: Path, open_level: Open) -> None:
    tiles = open_level(cmu_slide)
    assert (tiles.columns, tiles.rows, tiles.tile) == (10, 13, Size(240, 240))
    assert tiles.byte_counts.shape == (13, 10)
    assert tiles.reductions == (1, 2, 4, 8)
    data = tiles.read(3, 4)
    assert data is not None
    assert len(data) > tiles.byte_counts[4, 3] > 0


def test_read_many_keeps_the_order_asked(cmu_slide: Path, open_level: Open) -> None:
    tiles = open_level(cmu_slide)
    cells = [(9, 12), (0, 0), (5, 5), (0, 0), (4, 5)]
    assert tiles.read_many(cells) == [tiles.read(*cell) for cell in cells]
    assert tiles.read_many([]) == []


@pytest.mark.parametrize("cell", [(-1, 0), (10, 0), (0, 13)])
def test_cells_outside_are_refused(
    cmu_slide: Path, open_level: Open, cell: tuple[int, int]
) -> None:
    with pytest.raises(InvalidRequestError, match="10 columns, 13 rows"):
        open_level(cmu_slide).read(*cell)


def test_assembled_tiles_are_opentiles_byte_for_byte(cmu_slide: Path, open_level: Open) -> None:
    jpeg = pytest.importorskip("opentile.jpeg").Jpeg
    with tifffile.TiffFile(cmu_slide) as tif:
        page = tif.pages.first
        offset, count = page.dataoffsets[75], page.databytecounts[75]
        tables = page.jpegtables
    stored = cmu_slide.read_bytes()[offset : offset + count]
    prefix, scan = jpeg.calculate_prefix_and_scan_offset(stored, tables, True)
    assert open_level(cmu_slide).read(5, 7) == jpeg.add_jpeg_prefix(prefix, scan, stored)


def test_tiles_are_those_that_opentile_reads(cmu_slide: Path, open_level: Open) -> None:
    opentile = pytest.importorskip("opentile")
    try:
        other = opentile.OpenTile.open(cmu_slide)
    except FileNotFoundError as err:
        pytest.skip(str(err))  # opentile needs the system's libturbojpeg
    tiles = open_level(cmu_slide)
    with other:
        level = other.get_level(0)
        for cell in [(0, 0), (5, 7), (9, 12)]:
            assert tiles.read(*cell) == level.get_tile(cell)


@pytest.mark.parametrize(
    ("codec", "subsampling", "standalone"),
    [
        ("jpeg", "420", True),
        ("jpeg", "422", True),
        ("jpeg", "444", True),
        ("jpeg-rgb", "444", True),
        ("jpeg2k", "444", True),
        ("jpeg2k-ycc", "444", False),
    ],
)
def test_synthetic_svs_equals_openslide(
    tmp_path: Path,
    tissue: Pixels,
    worst_difference: Difference,
    open_level: Open,
    codec: str,
    subsampling: str,
    standalone: bool,
) -> None:
    slide = tmp_path / "a.svs"
    spec = SvsSpec(
        codec=codec,  # type: ignore[arg-type]
        subsampling=subsampling,
        downsamples=(1, 4),
        tile_px=240,
    )
    write_svs(slide, tissue, (1111, 1007), spec)
    assert [worst_difference(slide, level) for level in (0, 1)] == [0, 0]
    tiles = open_level(slide)
    assert tiles.standalone == standalone
    data = tiles.read(2, 2)
    assert data is not None
    same = np.array_equal(decode_standalone(tiles, data), tiles.decode(data))
    assert same == standalone


def full_jpegs(tissue: Pixels, *, marker: bytes | None = None, rgb: bool = False) -> list[bytes]:
    """Whole JPEGs of 4 tiles of 256 px; `marker` takes the place of their JFIF marker."""
    tiles = [np.ascontiguousarray(tile) for tile in cut_tiles(tissue[:512, :512], 256)]
    if rgb:
        return [
            bytes(imagecodecs.jpeg8_encode(t, 80, colorspace="rgb", outcolorspace="rgb"))
            for t in tiles
        ]
    jpegs = [simplejpeg.encode_jpeg(t, 80, "RGB", "444") for t in tiles]
    if marker is None:
        return jpegs
    return [SOI + marker + j[next(iter_segments(j)).stop :] for j in jpegs]


def write_tiff(path: Path, blocks: list[bytes], photometric: int, **extra: object) -> None:
    tags = image_tags(Size(512, 512), Size(256, 256), compression=7, photometric=photometric)
    if photometric == 6:
        tags[SUBSAMPLING] = (1, 1)
    with TiffBuilder(path) as builder:
        builder.add(Page(tags | extra, blocks))  # type: ignore[operator, arg-type]


@pytest.mark.parametrize("reader", ["openslide", "tiffslide"])
@pytest.mark.parametrize("photometric", [2, 6])
@pytest.mark.parametrize(
    "kind", ["jfif", "bare", "adobe-0", "adobe-1", "components-rgb", "numbered-rgb"]
)
def test_colour_is_what_the_reader_shows(
    tmp_path: Path,
    tissue: Pixels,
    worst_difference: Difference,
    kind: str,
    photometric: int,
    reader: str,
) -> None:
    rgb_jpegs = full_jpegs(tissue, rgb=True)
    blocks = {
        "jfif": lambda: full_jpegs(tissue),
        "bare": lambda: full_jpegs(tissue, marker=b""),
        "adobe-0": lambda: full_jpegs(tissue, marker=adobe_marker(0)),
        "adobe-1": lambda: full_jpegs(tissue, marker=adobe_marker(1)),
        "components-rgb": lambda: rgb_jpegs,
        "numbered-rgb": lambda: [
            name_components(j, b"\0\1\2") for j in full_jpegs(tissue, rgb=True)
        ],
    }[kind]()
    write_tiff(tmp_path / "a.tif", blocks, photometric)
    assert worst_difference(tmp_path / "a.tif", reader=reader) == 0


def test_grey_tiles_become_rgb(
    tmp_path: Path, tissue: Pixels, worst_difference: Difference
) -> None:
    grey = [np.ascontiguousarray(t[..., :1]) for t in cut_tiles(tissue[:512, :512], 256)]
    write_tiff(tmp_path / "a.tif", [simplejpeg.encode_jpeg(t, 80, "GRAY", "Gray") for t in grey], 1)
    assert worst_difference(tmp_path / "a.tif") == 0
    tiles = open_native_tiles(str(tmp_path / "a.tif"), 0, Size(512, 512), "openslide")
    assert tiles is not None
    assert not tiles.standalone
    tiles.close()


def test_twelve_bits_have_none(tmp_path: Path, tissue: Pixels) -> None:
    twelve = [
        bytes(imagecodecs.jpeg8_encode(t.astype(np.uint16) * 16, 80, bitspersample=12))
        for t in cut_tiles(tissue[:512, :512], 256)
    ]
    write_tiff(tmp_path / "twelve.tif", twelve, 2)
    assert open_native_tiles(str(tmp_path / "twelve.tif"), 0, Size(512, 512), "openslide") is None


def test_pages_of_one_size_are_not_told_apart(tmp_path: Path, tissue: Pixels) -> None:
    tags = image_tags(Size(512, 512), Size(256, 256), compression=7, photometric=6)
    with TiffBuilder(tmp_path / "a.tif") as builder:
        for _ in range(2):
            builder.add(Page(dict(tags), full_jpegs(tissue)))
    assert open_native_tiles(str(tmp_path / "a.tif"), 0, Size(512, 512), "openslide") is None


def test_ome_tiff_levels_in_subifds(
    tmp_path: Path, tissue: Pixels, worst_difference: Difference
) -> None:
    levels = write_pyramid(tmp_path / "a.ome.tif", tissue[:, :1201], codec="jpeg", as_subifds=True)
    for level in range(len(levels)):
        assert worst_difference(tmp_path / "a.ome.tif", level, "tiffslide") == 0


def test_bigtiff(tmp_path: Path, tissue: Pixels, worst_difference: Difference) -> None:
    tags = image_tags(Size(512, 512), Size(256, 256), compression=7, photometric=2)
    with TiffBuilder(tmp_path / "a.tif", big=True) as builder:
        builder.add(Page(tags, full_jpegs(tissue, marker=b"")))
    assert worst_difference(tmp_path / "a.tif") == 0


def test_remote_tiles_equal_local_ones(cmu_slide: Path, open_level: Open) -> None:
    with fsspec.open("memory://native/cmu.svs", "wb") as file:
        file.write(cmu_slide.read_bytes())
    remote = open_native_tiles("memory://native/cmu.svs", 0, Size(2220, 2967), "tiffslide")
    assert remote is not None
    cells = [(c, r) for r in range(13) for c in range(10)]
    assert remote.read_many(cells) == open_level(cmu_slide, 0, "tiffslide").read_many(cells)
    remote.close()


def test_a_file_is_parsed_once_and_again_when_it_changed(
    tmp_path: Path, tissue: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide, parsed = tmp_path / "a.svs", []
    real = tiff.read_index
    monkeypatch.setattr(tiff, "read_index", lambda path: parsed.append(path) or real(path))
    for size in (600, 600, 900):
        if len(parsed) != 1 or size == 900:
            write_svs(slide, tissue, size, SvsSpec(downsamples=(1,), with_associated=False))
        tiles = open_native_tiles(str(slide), 0, Size(size, size), "openslide")
        assert tiles is not None
        tiles.close()
    assert len(parsed) == 2


def slow_ycc_to_rgb(y: int, cb: int, cr: int) -> tuple[int, int, int]:
    exact = (
        y + 1.402 * (cr - 128),
        y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128),
        y + 1.772 * (cb - 128),
    )
    return tuple(int(min(max(round(v), 0), 255)) for v in exact)  # type: ignore[return-value]


def test_ycc_to_rgb_equals_its_slow_twin() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    slow = np.array([[slow_ycc_to_rgb(*map(int, p)) for p in row] for row in pixels])
    assert np.abs(ycc_to_rgb(pixels) - slow).max() <= 1  # fixed point, rounded twice for green


def test_rgb_to_ycc_and_back(tissue: Pixels) -> None:
    assert np.abs(ycc_to_rgb(rgb_to_ycc(tissue)).astype(int) - tissue).max() <= 2


PHILIPS_SPACING = (
    '<Attribute Name="DICOM_PIXEL_SPACING" Group="0x0028" Element="0x0030" PMSVR="IDoubleArray">'
    "&quot;{0:.6f}&quot; &quot;{0:.6f}&quot;</Attribute>"
)


def philips_xml(levels: int) -> str:
    parts = "".join(
        f'<DataObject ObjectType="PixelDataRepresentation">{PHILIPS_SPACING.format(0.00025 * 2**i)}'
        '<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_NUMBER" Group="0x1001" Element="0x8B02"'
        f' PMSVR="IUInt16">{i}</Attribute></DataObject>'
        for i in range(levels)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        '<Attribute Name="PIM_DP_SCANNED_IMAGES" Group="0x301D" Element="0x1003"'
        ' PMSVR="IDataObjectArray"><Array><DataObject ObjectType="DPScannedImage">'
        '<Attribute Name="PIM_DP_IMAGE_TYPE" Group="0x301D" Element="0x1004" PMSVR="IString">WSI'
        f"</Attribute>{PHILIPS_SPACING.format(0.00025)}"
        '<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE" Group="0x1001" Element="0x8B01"'
        f' PMSVR="IDataObjectArray"><Array>{parts}</Array></Attribute></DataObject></Array>'
        "</Attribute></DataObject>"
    )


def write_philips(path: Path, base: Pixels) -> None:
    """Three levels padded to whole tiles of 512 px, the second tile of the first absent."""
    encoder, tile = JpegEncoder(80, "420", rgb=False), Size(512, 512)
    with TiffBuilder(path) as builder:
        for i in range(3):
            level = reduce_area(base, 2**i)
            blocks = [encoder.encode(part) for part in cut_tiles(level, 512)]
            stored = Size(-(-level.shape[1] // 512) * 512, -(-level.shape[0] // 512) * 512)
            tags = image_tags(stored, tile, compression=7, photometric=6) | encoder.tags
            tags |= {SOFTWARE: "Philips DP v1.0", SUBFILE: int(i > 0)}
            if i == 0:
                tags[DESCRIPTION] = philips_xml(3)
                blocks[1] = b""
            builder.add(Page(tags, blocks))


def test_philips_padded_and_sparse(
    tmp_path: Path, tissue: Pixels, worst_difference: Difference, open_level: Open
) -> None:
    write_philips(tmp_path / "a.tiff", tissue)
    assert [worst_difference(tmp_path / "a.tiff", level) for level in range(3)] == [0, 0, 0]
    base, second = open_level(tmp_path / "a.tiff"), open_level(tmp_path / "a.tiff", 1)
    assert (base.byte_counts[0, 1], base.read(1, 0)) == (0, None)
    # Stored padded to 1024 px; shown, and so gridded, as half of level 0.
    assert (second.size, second.columns, second.rows) == (Size(768, 768), 2, 2)
