from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_info_tells_levels_resolution_and_native_tiles(microtome: Run, cmu_slide: Path) -> None:
    known = microtome("info", cmu_slide, "--json").document
    assert (known["width"], known["height"], known["vendor"]) == (2220, 2967, "aperio")
    assert known["mpp"] == {"x": 0.499, "y": 0.499, "origin": "openslide.mpp-x, openslide.mpp-y"}
    (level,) = known["levels"]
    assert level["native"] == {
        "tile": [240, 240],
        "grid": [10, 13],
        "codec": "jpeg",
        "passthrough": True,
    }


def test_info_names_associated_images_and_shows_how_to_copy(
    microtome: Run, cmu_slide: Path
) -> None:
    out = microtome("info", cmu_slide).out
    assert "label, macro, thumbnail" in out
    assert "--mpp 0.499 --patch-size 240" in out


def test_info_says_how_to_give_a_missing_resolution(microtome: Run, slides_folder: Path) -> None:
    silent = slides_folder / "TCGA-CR-7395-01A-01-TS1.svs"
    ran = microtome("info", silent)
    assert ran.code == 0
    assert "--slide-mpp" in ran.out
    given = microtome("info", silent, "--slide-mpp", 0.25, "--json").document
    assert given["mpp"] == {"x": 0.25, "y": 0.25, "origin": "override"}


def test_info_of_a_slide_without_tiles_says_so(microtome: Run, slides_folder: Path) -> None:
    out = microtome("info", slides_folder / "test3-DAPI-2-387.ndpi").out
    assert "No level has tiles that can be copied" in out


@pytest.mark.parametrize("content", [b"", b"not a slide"], ids=["empty", "text"])
def test_info_of_what_is_no_slide_is_exit_code_2(
    microtome: Run, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(content)
    ran = microtome("info", path)
    assert ran.code == 2
    assert str(path) in ran.err
