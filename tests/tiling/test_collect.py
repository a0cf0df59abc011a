"""Slide ids from paths, and slides from files, folders, globs and URLs."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiling.collect import collect_slides
from tiling.errors import ManifestError
from tiling.slide_ids import (
    MAX_LENGTH,
    RESERVED,
    safe_slide_id,
    slide_id_from_path,
    without_extension,
)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def ids(*inputs: str | Path) -> list[str]:
    return [row.slide_id for row in collect_slides(inputs)]


@given(st.text(max_size=300))
def test_any_name_makes_a_safe_id(name: str) -> None:
    slide_id = safe_slide_id(name)
    assert 1 <= len(slide_id) <= MAX_LENGTH
    assert set(slide_id) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert slide_id[0] not in "._-"
    assert not slide_id.endswith(".")
    assert slide_id.casefold() not in RESERVED
    assert safe_slide_id(slide_id) == slide_id


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("S-1_a.b", "S-1_a.b"),
        ("a/b c", "a__b_c"),
        ("Müller", "Muller"),
        ("..hidden", "hidden"),
        ("__init__", "init__"),
        ("end.", "end"),
    ],
)
def test_safe_ids(name: str, expected: str) -> None:
    assert safe_slide_id(name) == expected


def test_names_that_lose_letters_stay_different() -> None:
    names = ["切片一", "切片二", "x" * 200 + "1", "x" * 200 + "2", "", "...", "zarr.json"]
    assert len({safe_slide_id(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/r/a/b.svs", "/r", "a__b"),
        ("/r/a/b.svs", None, "b"),
        ("/elsewhere/b.svs", "/r", "b"),
        ("bucket/r/x/b.ome.tif", "bucket/r", "x__b"),
        ("2021.07.123", None, "2021.07.123"),
        ("C:\\slides\\b.svs", None, "b"),
    ],
)
def test_ids_from_paths(path: str, root: str | None, expected: str) -> None:
    assert slide_id_from_path(path, root) == expected


def test_a_name_that_is_only_an_extension_stays() -> None:
    assert without_extension(".svs") == ".svs"


def test_a_folder_is_searched_below_in_order(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "b/s.svs",
        "a/s.svs",
        "a/deep/x.NDPI",
        "notes.txt",
        "a/pic.png",
        ".x/s.svs",
        "._s.svs",
    )
    assert ids(tmp_path) == ["a__deep__x", "a__s", "b__s"]


def test_named_files_of_any_kind_are_taken(tmp_path: Path) -> None:
    touch(tmp_path, "a/pic.png", "s")
    assert ids(tmp_path / "a/pic.png", tmp_path / "s") == ["pic", "s"]


def test_globs_are_relative_to_their_fixed_part(tmp_path: Path) -> None:
    touch(tmp_path, "a/s.svs", "b/s.svs", "b/s.txt")
    assert ids(f"{tmp_path}/*/s.svs") == ["a__s", "b__s"]
    assert ids(f"{tmp_path}/**/*.svs") == ["a__s", "b__s"]


def test_a_file_name_with_brackets_is_no_glob(tmp_path: Path) -> None:
    touch(tmp_path, "s[1].svs")
    assert ids(tmp_path / "s[1].svs") == ["s_1_"]


def test_mrxs_data_folders_are_not_searched(tmp_path: Path) -> None:
    touch(tmp_path, "s.mrxs", "s/Data0001.dat", "s/odd.tif", "t/u.svs")
    assert ids(tmp_path) == ["s", "t__u"]


def test_two_files_with_one_id_name_both_paths(tmp_path: Path) -> None:
    touch(tmp_path, "a/s.svs", "b/S.svs")
    with pytest.raises(ManifestError, match=r"a/s\.svs and .*b/S\.svs"):
        collect_slides([tmp_path / "a/s.svs", tmp_path / "b/S.svs"])
    touch(tmp_path, "a/s.ndpi")
    with pytest.raises(ManifestError, match=r"a/s\.ndpi and .*a/s\.svs"):
        collect_slides([tmp_path])


def test_a_slide_given_twice_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "s.svs")
    with pytest.raises(ManifestError, match="name the same slide"):
        collect_slides([tmp_path, tmp_path / "s.svs"])


def test_every_bad_input_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError) as caught:
        collect_slides([tmp_path / "none", tmp_path / "empty", f"{tmp_path}/*.svs"])
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1].split(";")[0] for line in lines] == [
        "no such file or folder",
        "no slides found",
        "no slides found",
    ]


def test_remote_folders_globs_and_files() -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    for name in ("x/a.svs", "y/a.svs", "y/readme.txt"):
        fs.pipe(f"/collect-test/{name}", b"1")
    assert ids("memory://collect-test") == ["x__a", "y__a"]
    assert ids("memory://collect-test/*/a.svs") == ["x__a", "y__a"]
    (row,) = collect_slides(["memory://collect-test/x/a.svs"])
    assert (row.slide_id, row.path) == ("a", "memory://collect-test/x/a.svs")


def write_dicom(file: Path, series: str, padding: int) -> None:
    import pydicom
    from pydicom.dataset import FileMetaDataset

    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.VLWholeSlideMicroscopyImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.SeriesInstanceUID = series
    dataset.PixelData = bytes(padding)
    dataset["PixelData"].VR = "OB"
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(file, enforce_file_format=True)


def test_the_files_of_a_dicom_series_are_one_slide(tmp_path: Path) -> None:
    for name, size in (("1.dcm", 100), ("2.dcm", 5000), ("3.dcm", 10)):
        write_dicom(tmp_path / "case" / name, "1.2.3", size)
    (row,) = collect_slides([tmp_path])
    assert (row.slide_id, Path(row.path).name) == ("case", "2.dcm")
    (row,) = collect_slides([tmp_path / "case"])
    assert row.slide_id == "case"


def test_dicom_series_that_share_a_folder_are_named_after_their_first_file(tmp_path: Path) -> None:
    for name, series in (("a1.dcm", "1.2"), ("a2.dcm", "1.2"), ("b.dcm", "1.3")):
        write_dicom(tmp_path / name, series, 10)
    (tmp_path / "broken.dcm").write_bytes(b"not DICOM")
    assert ids(tmp_path) == ["a1", "b", "broken"]


def test_real_slides_are_found(slides_folder: Path, tmp_path: Path) -> None:
    found = ids(slides_folder)
    assert {"CMU-1-Small-Region", "OS-2-ndpi", "dicom__bone-jpeg2000-lossless"} <= set(found)
    for name in ("sm_image-10px-tiles", "camelyon-lowres-jpeg"):
        shutil.copy(slides_folder / "dicom" / f"{name}.dcm", tmp_path / f"{name}.dcm")
    assert ids(tmp_path) == ["camelyon-lowres-jpeg", "sm_image-10px-tiles"]
