"""What changes a slide's fingerprint, and what does not."""

import shutil
from pathlib import Path

import fsspec
import pytest

from wsi import UnreadableSlideError, fingerprint


def write(path: Path, size: int) -> Path:
    path.write_bytes(bytes(range(256)) * (size // 256))
    return path


def quick_hash(path: Path) -> str:
    return str(fingerprint(str(path))["quick_hash"])


def test_a_fingerprint_says_what_it_saw(tmp_path: Path) -> None:
    path = write(tmp_path / "a.svs", 1 << 20)
    found = fingerprint(str(path))
    assert found["uri"] == str(path)
    assert found["size"] == 1 << 20
    assert found["mtime"] == path.stat().st_mtime
    assert len(found["quick_hash"]) == 64


def test_a_copy_elsewhere_has_the_same_hash(tmp_path: Path) -> None:
    path = write(tmp_path / "a.svs", 1 << 20)
    copy = Path(shutil.copy(path, tmp_path / "b.svs"))
    assert quick_hash(copy) == quick_hash(path)


@pytest.mark.parametrize("place", [0, (1 << 19) + 5, (1 << 20) - 1], ids=["first", "mid", "last"])
def test_a_changed_byte_in_a_sample_shows(tmp_path: Path, place: int) -> None:
    path = write(tmp_path / "a.svs", 1 << 20)
    before = quick_hash(path)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xaa\xaa")
    assert quick_hash(path) != before


@pytest.mark.parametrize("size", [0, 256, 70_144, 140_032])
def test_small_files_have_one_too(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "a.svs", size)
    before = quick_hash(path)
    path.write_bytes(path.read_bytes() + b"x")
    assert quick_hash(path) != before


def test_a_url_has_the_hash_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.svs", 1 << 20)
    with fsspec.open("memory://fingerprints/a.svs", "wb") as file:
        file.write(path.read_bytes())
    found = fingerprint("memory://fingerprints/a.svs")
    assert found["quick_hash"] == quick_hash(path)
    assert found["uri"] == "memory://fingerprints/a.svs"
    assert found["size"] == 1 << 20


def test_mirax_data_files_count(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrxs", 512)
    (tmp_path / "a").mkdir()
    write(tmp_path / "a" / "Data0000.dat", 1024)
    before = quick_hash(path)
    write(tmp_path / "unrelated.dat", 256)
    assert quick_hash(path) == before
    write(tmp_path / "a" / "Data0000.dat", 2048)
    assert quick_hash(path) != before


def test_files_that_a_vms_index_names_count(tmp_path: Path) -> None:
    path = tmp_path / "a.vms"
    path.write_text("[Virtual Microscope Specimen]\nImageFile=a-0.jpg\nNoLayers=1\n")
    write(tmp_path / "a-0.jpg", 1024)
    before = quick_hash(path)
    write(tmp_path / "a-0.jpg", 2048)
    assert quick_hash(path) != before


@pytest.mark.slides
def test_only_files_of_the_same_dicom_series_count(slides_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    shutil.copyfile(slides_folder / "dicom" / "camelyon-lowres-jpeg.dcm", path)
    before = quick_hash(path)
    shutil.copyfile(slides_folder / "dicom" / "bone-jpeg2000-lossless.dcm", tmp_path / "b.dcm")
    (tmp_path / "c.dcm").write_bytes(b"no DICOM")
    assert quick_hash(path) == before
    shutil.copyfile(path, tmp_path / "d.dcm")
    assert quick_hash(path) != before


@pytest.mark.parametrize("location", ["nowhere/a.svs", "memory://nowhere/a.svs"])
def test_a_missing_file_is_said_to_be_missing(location: str) -> None:
    with pytest.raises(UnreadableSlideError, match=r"a\.svs: no such file"):
        fingerprint(location)
