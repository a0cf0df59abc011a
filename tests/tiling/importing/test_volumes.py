"""Volumes as slices: every number as nibabel reads it, and what cannot be a volume."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import zarr

from tests.tiling.importing.pictures import write_csv
from tiling.errors import ManifestError
from tiling.importing.compare import compare_files
from tiling.importing.run import run_import
from tiling.importing.volume_rows import find_volumes
from tiling.importing.volumes import VolumeOptions, volume_jobs
from tiling.labels import partition_of, read_partition
from tiling.outcome import RunSummary
from tiling.reader import PatchReader
from tiling.store import Archive
from tiling.verify import verify_store

DTYPES = ["uint8", "int16", "uint16", "int32", "float32", "float64"]


def numbers(dtype: str, shape: tuple[int, ...] = (5, 6, 9), seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype.startswith("f"):
        return rng.normal(0, 1e4, shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype)


def write(path: Path, values: np.ndarray, zooms: tuple[float, ...] = (1, 2, 3)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, np.diag([*zooms, 1]))
    image.header.set_data_dtype(values.dtype)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def import_volumes(location: Path, archive: Path, **options: Any) -> RunSummary:
    jobs = list(volume_jobs(find_volumes(str(location)), VolumeOptions(**options), str(location)))
    return run_import(jobs, Archive.create(str(archive)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_keep_their_type(tmp_path: Path, dtype: str) -> None:
    values = numbers(dtype)
    write(tmp_path / "in" / "v.nii.gz", values)
    (outcome,) = import_volumes(tmp_path / "in", tmp_path / "a.zarr").outcomes
    assert outcome.state == "done", outcome.error
    array = zarr.open_array(str(tmp_path / "a.zarr" / "v" / "patches"), mode="r")
    assert (array.dtype, array.shape) == (np.dtype(dtype), (9, 5, 6, 1))
    np.testing.assert_array_equal(array[:], np.moveaxis(values, 2, 0)[..., None])
    reader = PatchReader(Archive.open(str(tmp_path / "a.zarr"))["v"])
    assert reader.read([8, 0, 3]).tobytes() == array[:][[8, 0, 3]].tobytes()
    assert reader.dtype == np.dtype(dtype)
    assert reader.patch_shape == (5, 6, 1)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_any_axis_may_be_cut(tmp_path: Path, axis: int) -> None:
    values = numbers("int16")
    write(tmp_path / "in" / "v.nii", values)
    import_volumes(tmp_path / "in", tmp_path / "a.zarr", axis=axis)
    store = Archive.open(str(tmp_path / "a.zarr"))["v"]
    patches = PatchReader(store).read(range(len(store)))
    np.testing.assert_array_equal(patches[..., 0], np.moveaxis(values, axis, 0))
    assert verify_store(store) == compare_files(store) == []
    rest = [mm for i, mm in enumerate((1.0, 2.0, 3.0)) if i != axis % 3]
    known = store.attributes
    assert known["mpp_effective"] == [rest[1] * 1000, rest[0] * 1000]  # x along the columns
    assert known["import"]["voxel_mm"] == [1.0, 2.0, 3.0]


def test_slices_know_their_partition(tmp_path: Path) -> None:
    write(tmp_path / "in" / "v.nii", numbers("uint8", (4, 4, 10)))
    import_volumes(tmp_path / "in", tmp_path / "a.zarr", partitions=3)
    store = Archive.open(str(tmp_path / "a.zarr"))["v"]
    np.testing.assert_array_equal(read_partition(store), partition_of(10, 3))


def test_attributes_tell_the_volume(tmp_path: Path) -> None:
    values = numbers("float32")
    values[0, 0, 0] = np.nan
    write(tmp_path / "in" / "v.nii", values)
    (outcome,) = import_volumes(tmp_path / "in", tmp_path / "a.zarr").outcomes
    assert outcome.patches == 9
    store = Archive.open(str(tmp_path / "a.zarr"))["v"]
    known = store.attributes["import"]
    assert known["orientation"] == "RAS"
    assert known["values"] == [float(np.nanmin(values)), float(np.nanmax(values))]
    assert known["not_finite"] == 1
    assert known["shape"] == [5, 6, 9]
    assert store.attributes["patch_size_px"] is None
    assert store.attributes["patch_shape"] == [5, 6, 1]
    assert compare_files(store) == []


def test_units_become_millimetres(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(numbers("uint8"), np.diag([500, 500, 2000, 1]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "v.nii")
    import_volumes(tmp_path, tmp_path / "a.zarr")
    known = Archive.open(str(tmp_path / "a.zarr"))["v"].attributes
    assert known["import"]["voxel_mm"] == [0.5, 0.5, 2.0]
    assert known["mpp"] == {"x": 500.0, "y": 500.0, "origin": "nifti"}


def test_a_scale_in_the_header_is_applied(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(numbers("float32"), np.eye(4))
    image.header.set_data_dtype(np.int16)  # nibabel then writes a scale
    nibabel.save(image, tmp_path / "v.nii")
    loaded = nibabel.load(tmp_path / "v.nii")
    assert loaded.dataobj.slope != 1
    expected = loaded.get_fdata().astype(np.float32)
    import_volumes(tmp_path, tmp_path / "a.zarr")
    store = Archive.open(str(tmp_path / "a.zarr"))["v"]
    patches = PatchReader(store).read(range(9))
    assert patches.dtype == np.float32
    np.testing.assert_allclose(np.moveaxis(patches[..., 0], 0, 2), expected, rtol=1e-6)
    assert store.attributes["import"]["scaled"] is True


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_label_maps_lie_beside(tmp_path: Path, dtype: str) -> None:
    write(tmp_path / "in" / "images" / "v.nii", numbers("int16"))
    classes = (numbers("uint8") % 3).astype(dtype)
    write(tmp_path / "in" / "labels" / "v.nii", classes)
    import_volumes(tmp_path / "in", tmp_path / "a.zarr")
    store = Archive.open(str(tmp_path / "a.zarr"))["v"]
    array = zarr.open_array(str(tmp_path / "a.zarr" / "v" / "masks"), mode="r")
    assert array.dtype == "uint8"
    np.testing.assert_array_equal(array[:], np.moveaxis(classes, 2, 0))
    np.testing.assert_array_equal(PatchReader(store, "masks").read(range(9)), array[:])
    assert verify_store(store) == []


def test_a_csv_gives_clients_and_ids(tmp_path: Path) -> None:
    write(tmp_path / "i" / "x.nii.gz", numbers("uint8"))
    write(tmp_path / "l" / "x.nii.gz", numbers("uint8") % 2)
    row = {"client": 4, "volume": "V1", "image": "i/x.nii.gz", "label": "l/x.nii.gz"}
    (volume,) = find_volumes(str(write_csv(tmp_path / "clients.csv", [row])))
    assert (volume.slide_id, volume.site) == ("V1", "4")
    assert volume.label_map == str(tmp_path / "l/x.nii.gz")


def spoilt(tmp_path: Path, case: str) -> Path:
    path = tmp_path / "in" / "v.nii.gz"
    if case == "four axes":
        return write(path, numbers("uint8", (3, 3, 3, 2)))
    if case == "complex":
        return write(path, numbers("float32").astype(np.complex64))
    if case == "cut":
        write(path, numbers("int32", (20, 20, 20)))
        path.write_bytes(path.read_bytes()[:-2000])
        return path
    write(path, numbers("uint8"))
    if case == "text":
        path.write_bytes(b"no volume")
    elif case == "label shape":
        write(tmp_path / "in" / "labels" / "v.nii.gz", numbers("uint8", (5, 6, 8)))
    elif case == "label values":
        write(tmp_path / "in" / "labels" / "v.nii.gz", numbers("float32"))
    return path


SPOILT = {
    "four axes": r"has the shape \(3, 3, 3, 2\); a volume has three axes",
    "complex": "holds complex64; only whole and real numbers are stored",
    "cut": "the volume is damaged",
    "text": "is no NIfTI file that can be read",
    "label shape": r"label map has the shape \(5, 6, 8\), not \(5, 6, 9\)",
    "label values": "label map has other values than 0 to 254",
}


@pytest.mark.parametrize("case", SPOILT)
def test_what_is_no_volume_fails_and_no_other(tmp_path: Path, case: str) -> None:
    spoilt(tmp_path, case)
    write(tmp_path / "in" / "w.nii", numbers("uint8"))
    bad, fine = import_volumes(tmp_path / "in", tmp_path / "a.zarr").outcomes
    assert (bad.state, fine.state) == ("failed", "done")
    with pytest.raises(AssertionError, match=f"v.nii.gz.*{SPOILT[case]}"):
        raise AssertionError(bad.error)


def test_what_is_no_set_of_volumes_is_said(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no volumes found; searched for \.nii \.nii\.gz"):
        find_volumes(str(tmp_path))
    with pytest.raises(ManifestError, match="no such folder or CSV file"):
        find_volumes(str(tmp_path / "x.csv"))
    write(tmp_path / "a" / "v.nii", numbers("uint8"))
    write(tmp_path / "b" / "v.nii", numbers("uint8"))
    with pytest.raises(ManifestError, match=r"a/v\.nii and b/v\.nii would both be 'v'"):
        find_volumes(str(tmp_path))


def test_the_hippocampus_set(slides_folder: Path, tmp_path: Path) -> None:
    table = slides_folder.parent / "hippocampus" / "clients.csv"
    if not table.is_file():
        pytest.skip("the hippocampus volumes are not there")
    volumes = [v for v in find_volumes(str(table)) if v.site == "3"]
    jobs = list(volume_jobs(volumes, VolumeOptions(), str(table)))
    outcomes = run_import(jobs, Archive.create(str(tmp_path / "a.zarr"))).outcomes
    assert [o.state for o in outcomes] == ["done"] * 10
    for store in Archive.open(str(tmp_path / "a.zarr")).stores():
        path = table.parent / "images" / f"{store.slide_id}.nii.gz"
        expected = np.asarray(nibabel.load(path).dataobj)
        patches = PatchReader(store).read(range(len(store)))
        assert patches.dtype == expected.dtype
        np.testing.assert_array_equal(np.moveaxis(patches[..., 0], 0, 2), expected)
