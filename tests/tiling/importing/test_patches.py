"""Imported patches: the files' own bytes where they can be kept, their pixels where not."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image

from tests.tiling.importing.conftest import Import
from tests.tiling.importing.pictures import Pixels, picture, save, turned_jpeg, write_csv
from tiling.importing.compare import compare_files
from tiling.importing.images import ImageError, decode_any, probe
from tiling.outcome import RunSummary
from tiling.reader import PatchReader
from tiling.store import Archive, PatchStore
from tiling.verify import verify_store


def good(summary: RunSummary) -> None:
    assert [o.error for o in summary.outcomes if o.state == "failed"] == []


def the_slide(tmp_path: Path) -> PatchStore:
    """The only slide of the archive, after every check that we have."""
    archive = Archive.open(str(tmp_path / "a.zarr"))
    (slide_id,) = archive.slide_ids()
    store = archive[slide_id]
    assert verify_store(store) == []
    assert compare_files(store) == []
    return store


def by_zarr(store: PatchStore, name: str) -> np.ndarray:
    """What zarr-python reads; our reader must agree where there are patches."""
    array = zarr.open_array(f"{store.storage.root}/{store.slide_id}/{name}", mode="r")
    values = np.asarray(array[:])
    if name in ("patches", "masks"):
        np.testing.assert_array_equal(PatchReader(store, name).read(range(len(store))), values)
    return values


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("subsampling", [0, 2], ids=["444", "420"])
def test_jpeg_bytes_are_kept(
    tmp_path: Path, import_patches: Import, progressive: bool, subsampling: int
) -> None:
    options = {"quality": 80, "progressive": progressive, "subsampling": subsampling}
    files = [save(tmp_path / "in" / f"{i}.jpg", picture(i), **options) for i in range(5)]
    good(import_patches(tmp_path / "in"))
    store = the_slide(tmp_path)
    reader = PatchReader(store)
    assert [reader.encoded(i) for i in range(5)] == [file.read_bytes() for file in files]
    decoded = [np.asarray(Image.open(file)) for file in files]
    np.testing.assert_array_equal(by_zarr(store, "patches"), decoded)
    assert store.attributes["encoding"] == {
        "label": "imported",
        "codec": "imagecodecs_jpeg",
        "reason": "the files' own bytes: 5 JPEG",
    }
    assert store.status.tolist() == [0] * 5


def test_png_bytes_are_kept(tmp_path: Path, import_patches: Import) -> None:
    files = [save(tmp_path / "in" / f"{i}.png", picture(i)) for i in range(3)]
    good(import_patches(tmp_path / "in"))
    store = the_slide(tmp_path)
    reader = PatchReader(store)
    assert [reader.encoded(i) for i in range(3)] == [file.read_bytes() for file in files]
    np.testing.assert_array_equal(by_zarr(store, "patches"), [picture(i) for i in range(3)])
    assert store.attributes["encoding"]["codec"] == "imagecodecs_png"


def test_grey_jpeg_is_kept_and_read_as_rgb(tmp_path: Path, import_patches: Import) -> None:
    grey = [Image.fromarray(picture(i)).convert("L") for i in range(2)]
    files = [save(tmp_path / "in" / f"{i}.jpg", image) for i, image in enumerate(grey)]
    save(tmp_path / "in" / "2.jpg", picture(2))
    good(import_patches(tmp_path / "in"))
    store = the_slide(tmp_path)
    expected = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    np.testing.assert_array_equal(by_zarr(store, "patches")[:2], expected)
    assert store.attributes["encoding"]["reason"] == "the files' own bytes: 1 JPEG, 2 grey JPEG"
    inner = store.document("patches")["codecs"][0]["configuration"]["codecs"][0]
    assert inner["configuration"] == {"colorspace_data": "RGB"}  # for the public codec's readers


def with_alpha(pixels: Pixels) -> Image.Image:
    alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
    alpha[:8] = 0
    return Image.fromarray(np.concatenate([pixels, alpha], axis=2))


def white_top(pixels: Pixels) -> Pixels:
    return np.concatenate([np.full_like(pixels[:8], 255), pixels[8:]])


P = picture(7)
GREY = np.asarray(Image.fromarray(P).convert("L"))
DECODED = {
    "PNG with alpha": ("png", with_alpha(P), white_top(P)),
    "grey PNG": ("png", Image.fromarray(GREY), np.repeat(GREY[..., None], 3, 2)),
    "palette PNG": (
        "png",
        Image.fromarray(P).quantize(16),
        np.asarray(Image.fromarray(P).quantize(16).convert("RGB")),
    ),
    "16-bit grey PNG": (
        "png",
        Image.fromarray(GREY.astype(np.uint16) * 256 + 3),
        np.repeat(GREY[..., None], 3, 2),
    ),
    "TIFF": ("tif", Image.fromarray(P), P),
    "BMP": ("bmp", Image.fromarray(P), P),
}


@pytest.mark.parametrize("kind", DECODED)
def test_what_cannot_be_kept_is_stored_without_loss(
    tmp_path: Path, import_patches: Import, kind: str
) -> None:
    ending, image, expected = DECODED[kind]
    save(tmp_path / "in" / f"a.{ending}", image)
    good(import_patches(tmp_path / "in"))
    store = the_slide(tmp_path)
    np.testing.assert_array_equal(by_zarr(store, "patches")[0], expected)
    found = store.attributes["encoding"]
    assert (found["label"], found["codec"]) == ("lossless", "imagecodecs_jpegxl")
    assert found["reason"] == f"not all images can be kept as they are: 1 {kind}"


def test_mixed_formats_are_stored_without_loss(tmp_path: Path, import_patches: Import) -> None:
    jpeg = save(tmp_path / "in" / "a.jpg", picture(1))
    save(tmp_path / "in" / "b.png", picture(2))
    good(import_patches(tmp_path / "in"))
    store = the_slide(tmp_path)
    expected = [np.asarray(Image.open(jpeg)), picture(2)]
    np.testing.assert_array_equal(by_zarr(store, "patches"), expected)
    assert store.attributes["encoding"]["reason"].endswith("as they are: 1 JPEG, 1 PNG")


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_turns_pixels_and_not_kept_bytes(
    tmp_path: Path, import_patches: Import, orientation: int
) -> None:
    file = turned_jpeg(tmp_path / "in" / "a.jpg", picture(1), orientation)
    good(import_patches(tmp_path / "in"))
    store = the_slide(tmp_path)
    plain = np.asarray(Image.open(file))
    turn = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a),
    }
    np.testing.assert_array_equal(by_zarr(store, "patches")[0], turn[orientation](plain))
    assert store.attributes["encoding"]["reason"].endswith("1 JPEG turned by EXIF")


def test_upright_exif_changes_nothing(tmp_path: Path, import_patches: Import) -> None:
    file = turned_jpeg(tmp_path / "in" / "a.jpg", picture(1), 1)
    good(import_patches(tmp_path / "in"))
    assert PatchReader(the_slide(tmp_path)).encoded(0) == file.read_bytes()


def test_sizes_that_differ_are_told_with_their_files(
    tmp_path: Path, import_patches: Import
) -> None:
    save(tmp_path / "in" / "a.png", picture(1))
    save(tmp_path / "in" / "b.png", picture(2, 48))
    (outcome,) = import_patches(tmp_path / "in").outcomes
    assert outcome.state == "failed"
    assert outcome.cause == "PlanError"
    assert outcome.error.endswith(
        "must be square and of one size, they are 32 x 32 px (a.png), 48 x 48 px (b.png); "
        "resize them with --patch-size"
    )


def test_images_that_are_not_square_are_refused(tmp_path: Path, import_patches: Import) -> None:
    save(tmp_path / "in" / "a.png", picture(1, 32, 40))
    (outcome,) = import_patches(tmp_path / "in").outcomes
    assert "must be square and of one size, they are 40 x 32 px (a.png)" in outcome.error


def test_resizing_is_by_area_and_recorded(tmp_path: Path, import_patches: Import) -> None:
    save(tmp_path / "in" / "a.png", picture(1, 64))
    save(tmp_path / "in" / "b.png", picture(2, 16))
    good(import_patches(tmp_path / "in", patch_px=32, mpp=0.5))
    store = the_slide(tmp_path)
    blocks = picture(1, 64).reshape(32, 2, 32, 2, 3).astype(float).mean(axis=(1, 3))
    patches = by_zarr(store, "patches")
    np.testing.assert_allclose(patches[0], blocks, atol=0.51)
    enlarged = Image.fromarray(picture(2, 16)).resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(patches[1], np.asarray(enlarged))
    known = store.attributes
    assert known["encoding"]["label"] == "lossless"
    assert known["encoding"]["reason"] == "resized to 32 px: 2 PNG"
    assert known["import"]["resized"] == [[16, 16, 1], [64, 64, 1]]
    assert known["mpp"]["x"] == 0.5
    assert known["mpp_effective"] == [None, None]  # two factors


def test_resolution_follows_the_resizing(tmp_path: Path, import_patches: Import) -> None:
    save(tmp_path / "in" / "a.png", picture(1, 64))
    good(import_patches(tmp_path / "in", patch_px=32, mpp=0.5))
    known = the_slide(tmp_path).attributes
    assert known["mpp_effective"] == [1.0, 1.0]
    assert known["patch_size_level0"] == [64, 64]


def test_a_size_that_fits_keeps_the_bytes(tmp_path: Path, import_patches: Import) -> None:
    save(tmp_path / "in" / "a.jpg", picture(1))
    good(import_patches(tmp_path / "in", patch_px=32))
    assert the_slide(tmp_path).attributes["encoding"]["label"] == "imported"


def test_attributes_are_those_of_a_slide(tmp_path: Path, import_patches: Import) -> None:
    for i in range(3):
        save(tmp_path / f"{i}.png", picture(i))
    rows = [
        {"file": f"{i}.png", "patient": "P", "site": "H", "split": "val", "mpp": 0.25,
         "x": 100 * i, "y": 7, "slide_label": "MSI"}
        for i in range(3)
    ]  # fmt: skip
    good(import_patches(write_csv(tmp_path / "set.csv", rows)))
    store = the_slide(tmp_path)
    known = store.attributes
    assert store.coords.tolist() == [[0, 7], [100, 7], [200, 7]]
    assert known["labels"] == {"label": "MSI", "split": "val"}
    assert (known["patient"], known["site"]) == ("P", "H")
    assert known["mpp"] == {"x": 0.25, "y": 0.25, "origin": "override"}
    assert known["levels"] == [{"width": 232, "height": 39, "downsample": 1.0}]
    assert (known["patch_size_px"], known["patch_size_level0"]) == (32, [32, 32])
    assert known["grid"] is None
    assert known["source"]["uri"] == str(tmp_path / "set.csv")
    assert known["source"]["size"] == sum((tmp_path / f"{i}.png").stat().st_size for i in range(3))


def test_unknown_places_are_a_row(tmp_path: Path, import_patches: Import) -> None:
    for i in range(3):
        save(tmp_path / "in" / f"{i}.png", picture(i))
    good(import_patches(tmp_path / "in"))
    store = the_slide(tmp_path)
    assert store.coords.tolist() == [[0, 0], [32, 0], [64, 0]]
    assert store.attributes["import"]["coords"] == "made up"
    assert store.attributes["mpp"] == {"x": None, "y": None, "origin": "unknown"}


# Masks.


def test_masks_are_stored_beside_the_patches(tmp_path: Path, import_patches: Import) -> None:
    classes = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32) % 5
    paletted = Image.fromarray(classes)
    paletted.putpalette([200, 0, 0] * 5)
    bits = Image.fromarray(classes > 2)
    for name, mask in (("a", paletted), ("b", bits), ("c", None)):
        save(tmp_path / "img" / f"{name}.png", picture(ord(name)))
        if mask is not None:
            save(tmp_path / "mask" / f"{name}.png", mask)
    good(import_patches(tmp_path))
    store = the_slide(tmp_path)
    expected = [classes, classes > 2, np.full((32, 32), 255)]
    np.testing.assert_array_equal(by_zarr(store, "masks"), expected)
    facts = store.document("masks")["attributes"]["microtome"]
    assert facts == {"missing": 255, "n_missing": 1, "values": [0, 1, 2, 3, 4]}


def test_masks_are_resized_to_whole_classes(tmp_path: Path, import_patches: Import) -> None:
    classes = np.kron(np.eye(2, dtype=np.uint8) * 3, np.ones((32, 32), np.uint8))
    save(tmp_path / "img" / "a.png", picture(1, 64))
    save(tmp_path / "mask" / "a.png", Image.fromarray(classes))
    good(import_patches(tmp_path, patch_px=32))
    np.testing.assert_array_equal(by_zarr(the_slide(tmp_path), "masks")[0], classes[::2, ::2])


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (np.zeros((16, 16), np.uint8), "a.png: the mask has 16 x 16 px, not the image's size"),
        (np.zeros((32, 32, 3), np.uint8), "a mask has one channel of 8 bits, this one is RGB"),
    ],
)
def test_masks_that_do_not_fit_are_told(
    tmp_path: Path, import_patches: Import, mask: Pixels, sentence: str
) -> None:
    save(tmp_path / "img" / "a.png", picture(1))
    save(tmp_path / "mask" / "a.png", mask)
    (outcome,) = import_patches(tmp_path).outcomes
    assert sentence in outcome.error


# Images that cannot be read.

BAD = {
    "empty": (b"", "the file is empty"),
    "text": (b"not an image at all", "is no image that can be read: the format is not known"),
    "cut": (None, "is damaged"),
}


def spoil(file: Path, how: str) -> None:
    data, _ = BAD[how]
    file.write_bytes(file.read_bytes()[:-60] if data is None else data)


@pytest.mark.parametrize("how", BAD)
def test_bad_images_fail_their_slide_and_no_other(
    tmp_path: Path, import_patches: Import, how: str
) -> None:
    files = [save(tmp_path / f"{i}.jpg", picture(i)) for i in range(4)]
    spoil(files[1], how)
    files[2].unlink()
    rows = [{"file": f"{i}.jpg", "patient": "good" if i == 3 else "bad"} for i in range(4)]
    bad, fine = import_patches(write_csv(tmp_path / "set.csv", rows)).outcomes
    assert (bad.slide_id, bad.state, bad.cause) == ("bad", "failed", "DamagedSlideError")
    assert "set.csv line 4: 2.jpg: cannot be read: No such file" in bad.error
    if how != "cut":  # the header is whole: it shows when all headers are good
        assert f"set.csv line 3: 1.jpg: {BAD[how][1]}" in bad.error
    assert fine.state == "done"
    assert Archive.open(str(tmp_path / "a.zarr")).slide_ids() == ["good"]


def test_a_cut_image_is_found_by_decoding_it(tmp_path: Path, import_patches: Import) -> None:
    files = [save(tmp_path / "in" / f"{i}.jpg", picture(i)) for i in range(4)]
    spoil(files[1], "cut")
    (outcome,) = import_patches(tmp_path / "in").outcomes
    assert "1 of 4 images cannot be read" in outcome.error
    assert "1.jpg: is damaged" in outcome.error


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp"])
@pytest.mark.parametrize("how", BAD)
def test_bad_images_may_be_stored_white(
    tmp_path: Path, import_patches: Import, how: str, ending: str
) -> None:
    files = [save(tmp_path / "in" / f"{i}.{ending}", picture(i)) for i in range(4)]
    spoil(files[1], how)
    good(import_patches(tmp_path / "in", skip_unreadable=True))
    store = the_slide(tmp_path)
    assert store.status.tolist() == [0, 2, 0, 0]
    patches = by_zarr(store, "patches")
    assert (patches[1] == 255).all()
    np.testing.assert_array_equal(patches[2], np.asarray(Image.open(files[2])))
    assert store.attributes["n_unreadable"] == 1
    assert store.attributes["import"]["problems"][0].startswith(f"1.{ending}: ")


def test_nothing_readable_is_a_failure(tmp_path: Path, import_patches: Import) -> None:
    spoil(save(tmp_path / "in" / "a.png", picture(1)), "empty")
    (outcome,) = import_patches(tmp_path / "in", skip_unreadable=True).outcomes
    assert "1 of 1 images cannot be read" in outcome.error


def test_a_jpeg_that_only_others_decode_is_not_kept(tmp_path: Path, import_patches: Import) -> None:
    """Bytes before a marker: Pillow reads on, a strict decoder does not."""
    file = save(tmp_path / "in" / "a.jpg", picture(1))
    data = file.read_bytes()
    at = data.index(b"\xff\xdb")
    file.write_bytes(data[:at] + b"\x00" * 5 + data[at:])
    expected = decode_any(file.read_bytes())
    good(import_patches(tmp_path / "in"))
    store = the_slide(tmp_path)
    np.testing.assert_array_equal(by_zarr(store, "patches")[0], expected)
    assert store.attributes["encoding"]["reason"] == (
        "the bytes of a.jpg are no clean JPEG; all are stored decoded"
    )


def test_files_of_several_pages_are_refused(tmp_path: Path) -> None:
    one, two = (Image.fromarray(picture(i)) for i in range(2))
    one.save(tmp_path / "a.tif", save_all=True, append_images=[two])
    with pytest.raises(ImageError, match="holds 2 images; give one per file"):
        probe(str(tmp_path / "a.tif"))


def test_numbers_are_no_colours(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="its pixels are no colours"):
        decode_any((tmp_path / "a.tif").read_bytes())
