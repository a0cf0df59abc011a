"""Our Zarr 3 codecs as zarr-python finds and uses them."""

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import zarr
from zarr.registry import get_codec_class

from tests.tiling.archives import Pixels, decibel
from tiling.codecs import Jpeg, Jpeg2k, JpegXl, Png

CODECS = {
    "imagecodecs_jpeg": Jpeg,
    "imagecodecs_jpeg2k": Jpeg2k,
    "imagecodecs_jpegxl": JpegXl,
    "imagecodecs_png": Png,
}


@pytest.mark.parametrize("name", CODECS)
def test_entry_points_name_our_classes(name: str) -> None:
    (point,) = entry_points(group="zarr.codecs", name=name)
    assert point.load() is CODECS[name]


@pytest.mark.parametrize("name", CODECS)
def test_zarr_finds_them_by_name(name: str) -> None:
    assert get_codec_class(name) is CODECS[name]


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("configuration", [{}, {"level": 90}], ids=["bare", "configured"])
def test_metadata_round_trip(name: str, configuration: dict[str, Any]) -> None:
    entry = {"name": name} | ({"configuration": configuration} if configuration else {})
    codec = CODECS[name].from_dict(entry)
    assert codec.to_dict() == entry
    assert CODECS[name].from_dict(codec.to_dict()) == codec
    with pytest.raises(NotImplementedError):
        codec.compute_encoded_size(1, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("codec", "configuration", "least_db"),
    [
        (Jpeg, {"level": 95, "subsampling": "444"}, 38),
        (Jpeg, {}, 27),
        (Jpeg2k, {"level": 0, "reversible": True}, 100),
        (JpegXl, {"lossless": True, "effort": 1}, 100),
        (Png, {}, 100),
        (Png, {"level": 1}, 100),
    ],
)
def test_arrays_that_zarr_itself_writes(
    tmp_path: Path,
    tissue_pixels: Pixels,
    codec: Any,
    configuration: dict[str, Any],
    least_db: float,
) -> None:
    pixels = np.stack(
        [tissue_pixels[:64, :64], tissue_pixels[64:128, :64], tissue_pixels[:64, 64:128]]
    )
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=pixels.shape,
        dtype="u1",
        chunks=(1, 64, 64, 3),
        shards=(2, 64, 64, 3),
        serializer=codec.from_dict({"configuration": configuration}),
        compressors=None,
        fill_value=0,
    )
    array[:] = pixels
    assert decibel(zarr.open_array(tmp_path / "a.zarr")[:], pixels) >= least_db
    document = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())
    inner = document["codecs"][0]["configuration"]["codecs"][0]
    assert inner == {"name": codec.name} | (
        {"configuration": configuration} if configuration else {}
    )


def test_what_zarr_writes_is_a_plain_image(tmp_path: Path, tissue_pixels: Pixels) -> None:
    pixels = tissue_pixels[None, :64, :64]
    for codec, decode in ((Jpeg, imagecodecs.jpeg8_decode), (JpegXl, imagecodecs.jpegxl_decode)):
        array = zarr.create_array(
            tmp_path / codec.name,
            shape=pixels.shape,
            dtype="u1",
            chunks=pixels.shape,
            serializer=codec.from_dict({"configuration": {"level": 90}} if codec is Jpeg else {}),
            compressors=None,
            fill_value=0,
        )
        array[:] = pixels
        stored = (tmp_path / codec.name / "c" / "0" / "0" / "0" / "0").read_bytes()
        np.testing.assert_array_equal(decode(stored), array[0])


@pytest.mark.parametrize(
    ("codec", "configuration", "error", "sentence"),
    [
        (Jpeg, {"level": 101}, ValueError, "Invalid argument"),
        (Jpeg, {"level": -1}, ValueError, "Invalid argument"),
        (Jpeg, {"subsampling": "999"}, KeyError, "999"),
        (JpegXl, {"level": -5}, RuntimeError, "JxlEncoderSetFrameDistance"),
    ],
)
def test_settings_out_of_range_are_refused(
    tmp_path: Path,
    codec: Any,
    configuration: dict[str, Any],
    error: type[Exception],
    sentence: str,
) -> None:
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=(16, 16, 3),
        dtype="u1",
        chunks=(16, 16, 3),
        serializer=codec.from_dict({"configuration": configuration}),
        compressors=None,
    )
    with pytest.raises(error, match=sentence):
        array[:] = np.arange(768, dtype=np.uint8).reshape(16, 16, 3)
