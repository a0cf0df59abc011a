from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiling.store import INDEX

Run = Callable[..., Any]


def test_ls_lists_what_is_committed(microtome: Run, tiled: Path) -> None:
    ran = microtome("ls", tiled)
    assert ran.code == 0
    assert "CMU-1-Small-Region" in ran.out
    assert "passthrough" in ran.out
    assert "1 slide, 55 patches" in ran.out


def test_ls_does_not_need_the_index(microtome: Run, archive: Path) -> None:
    told = microtome("ls", archive, "--json").document
    (archive / INDEX).unlink()
    assert microtome("ls", archive, "--json").document == told


def test_ls_shows_no_slide_that_is_not_committed(microtome: Run, archive: Path) -> None:
    (archive / "CMU-1-Small-Region" / "zarr.json").unlink()
    assert microtome("ls", archive, "--json").document["slides"] == []
