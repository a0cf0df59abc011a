"""Which reader opens what, and the sentence where none does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wsi.conftest import KnownSlide
from wsi import (
    InvalidRequestError,
    MissingReaderError,
    UnreadableSlideError,
    UnsupportedSlideError,
    open_slide,
    slide_extensions,
)
from wsi.readers import READERS, ReaderEntry

REFUSAL = r"not a slide that|not a picture that|OpenSlide does not know"
HEAVY = "tifffile tiffslide pydicom skimage imagecodecs zarr fsspec openslide PIL pytest"


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UnreadableSlideError, match=r"^nowhere/a\.svs: no such file$"):
        open_slide("nowhere/a.svs")


def test_a_folder_is_no_slide(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSlideError, match="is a folder"):
        open_slide(tmp_path)


@pytest.mark.parametrize("name", ["a.svs", "a.tif", "a.png", "a.dcm", "a.xyz", "a"])
def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(UnreadableSlideError, match="the file is empty"):
        open_slide(tmp_path / name)


@pytest.mark.parametrize("name", ["a.svs", "a.ndpi", "a.tif", "a.png", "a.jpg", "a.dcm", "a.txt"])
def test_a_text_file_is_no_slide(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("Dear pathologist, this is a letter.\n" * 50)
    with pytest.raises(UnsupportedSlideError, match=REFUSAL):
        open_slide(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(b"II*\0")
    path.chmod(0)
    with pytest.raises(UnreadableSlideError, match="no permission"):
        open_slide(path)


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(UnreadableSlideError, match="cannot be read"):
        open_slide("a\0b.svs")


def test_an_unknown_reader_lists_the_known(cmu_slide: Path) -> None:
    with pytest.raises(UnsupportedSlideError, match="openslide, tiffslide, image"):
        open_slide(cmu_slide, "bioformats")


def test_a_missing_library_says_what_to_install(
    cmu_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = ReaderEntry("wsi.readers.nothing", "X", frozenset(), "pip install nothing")
    monkeypatch.setitem(READERS, "nothing", entry)
    with pytest.raises(MissingReaderError, match="reader 'nothing' needs: pip install nothing"):
        open_slide(cmu_slide, "nothing")


@pytest.mark.parametrize("mpp", [0, -0.5, float("nan"), float("inf"), (0.5, 0)])
def test_an_absurd_mpp_is_refused(cmu_slide: Path, mpp: float) -> None:
    with pytest.raises(InvalidRequestError, match="mpp must be positive"):
        open_slide(cmu_slide, mpp=mpp)


def test_a_file_url_is_a_path(pyramid: KnownSlide) -> None:
    with open_slide(f"file://{pyramid.location}") as slide:
        assert slide.reader == "openslide"


def test_a_missing_remote_file_is_unreadable() -> None:
    with pytest.raises(UnreadableSlideError, match="memory://slides/none"):
        open_slide("memory://slides/none.svs")


def test_an_unknown_protocol_is_unreadable() -> None:
    with pytest.raises(UnreadableSlideError, match="foo"):
        open_slide("foo://slides/none.svs")


def test_slide_extensions_are_lower_case_with_a_dot() -> None:
    assert {".svs", ".ndpi", ".mrxs", ".dcm", ".tif", ".png"} <= slide_extensions()
    assert all(name.startswith(".") and name == name.lower() for name in slide_extensions())


def test_importing_wsi_loads_no_heavy_library() -> None:
    code = f"import sys, wsi; print([name for name in {HEAVY.split()} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
