from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
SLIDE = "CMU-1-Small-Region"


def test_what_is_whole_is_good(microtome: Run, tiled: Path) -> None:
    ran = microtome("verify", tiled)
    assert ran.code == 0
    assert "every slide is as it was written" in ran.out


def test_passthrough_equals_the_source(microtome: Run, tiled: Path) -> None:
    ran = microtome("verify", tiled, "--source", "--json")
    assert (ran.code, ran.document["problems"]) == (0, [])
    assert ran.document["slides"] == [{"slide_id": SLIDE, "patches": 55, "state": "good"}]


@pytest.mark.parametrize("key", ["patches/c/0/0/0/0", "coords/c/0/0", "patches/zarr.json"])
def test_a_flipped_bit_is_found(microtome: Run, archive: Path, key: str) -> None:
    path = archive / SLIDE / key
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    ran = microtome("verify", archive, "--json")
    assert ran.code == 3
    assert key in [problem["key"] for problem in ran.document["problems"]]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"attributes": {"microtome": {}}}'])
def test_a_damaged_commit_is_found(microtome: Run, archive: Path, content: bytes) -> None:
    (archive / SLIDE / "zarr.json").write_bytes(content)
    ran = microtome("verify", archive)
    assert ran.code == 3
    assert "damaged: 1 of 1 slide" in ran.out


def test_another_source_is_no_source(
    microtome: Run, tmp_path: Path, cmu_slide: Path, scheduler: str
) -> None:
    slide, out = tmp_path / "a.svs", tmp_path / "a.zarr"
    slide.write_bytes(cmu_slide.read_bytes())
    assert microtome("tile", slide, "--out", out, "--scheduler", scheduler, "--quiet").code == 0
    slide.write_bytes(cmu_slide.read_bytes() + b"more")
    ran = microtome("verify", out, "--source")
    assert ran.code == 3
    assert "is not the file that this slide was cut from" in ran.out
    slide.unlink()
    assert microtome("verify", out, "--source").code == 3
    assert microtome("verify", out).code == 0


def test_one_slide_can_be_asked_for(microtome: Run, tiled: Path) -> None:
    assert microtome("verify", tiled, "--slide", SLIDE).code == 0
    ran = microtome("verify", tiled, "--slide", "CMU-1-Small-Regoin")
    assert ran.code == 2
    assert f"did you mean {SLIDE}?" in ran.err
