"""NIfTI volumes: slices as patches of one channel, numbers kept as they are, ordered partitions.

Pixels are stored as they lie in the file (no turning to a common orientation), in zstd that plain
zarr-python reads. Needs nibabel.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from tiling.encoding import ZSTD, AnyPixels, Encoding, encode_patch
from tiling.errors import DamagedSlideError, PlanError
from tiling.importing import group
from tiling.importing.group import MASKS, Known, Place, Resolution
from tiling.importing.patches import MASK_ENCODING
from tiling.labels import partition_of
from tiling.plan import SHARD_BYTES
from tiling.preview import pick_evenly
from tiling.store import SlideWriter
from tiling.zarrjson import DATA_TYPES

if TYPE_CHECKING:
    from nibabel.arrayproxy import ArrayProxy
    from nibabel.nifti1 import Nifti1Image

LOSSLESS = Encoding(ZSTD, (("checksum", False), ("level", 3)), "lossless")

MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
"""NIfTI's units of length; files that name none mean millimetres."""

MAX_CLASSES = 254
"""Highest label of a label map; 255 is kept for slices without one."""


@dataclass(frozen=True)
class VolumeOptions:
    """What is asked of an import of volumes.

    Attributes:
        axis: along which a volume is cut into slices; -1 is the last.
        partitions: ordered parts that slices are assigned to.
    """

    axis: int = -1
    partitions: int = 4


@dataclass(frozen=True)
class Volume:
    """One volume; `where` is how messages name it, paths are absolute."""

    slide_id: str
    path: str
    name: str
    where: str
    label_map: str | None = None
    patient: str = ""
    site: str = ""
    split: str = ""


@dataclass(frozen=True)
class VolumeJob:
    """Imports one volume; see `tiling.importing.group.Job`."""

    volume: Volume
    options: VolumeOptions
    location: str

    @property
    def slide_id(self) -> str:
        """Name of its group."""
        return self.volume.slide_id

    def __len__(self) -> int:
        """Number of slices; 0 before the file is opened."""
        return 0

    def config_hash(self) -> str:
        """Hash all that is stored besides the files' numbers."""
        volume = self.volume
        settings = asdict(self.options) | {"kind": "volumes", "name": volume.name}
        settings |= {"patient": volume.patient, "site": volume.site, "split": volume.split}
        settings["has_label_map"] = volume.label_map is not None
        return group.hash_settings(settings)

    def fingerprint(self) -> dict[str, Any]:
        """Identify the volume and its label map."""
        files = [(self.volume.name, self.volume.path)]
        if self.volume.label_map:
            files.append((f"{self.volume.name} label map", self.volume.label_map))
        return group.files_fingerprint(self.location, files)

    def build(self, place: Place) -> dict[str, Any]:
        """Write the volume's arrays; gives its attributes.

        Raises:
            DamagedSlideError: a file cannot be read.
            PlanError: it is no volume of numbers, or its label map does not fit.
        """
        volume, where = self.volume, self.volume.where
        image = _open(volume.path, where)
        values, scaled = _values(image, where)
        slices = _slices(values, self.options.axis, where)
        masks = None
        if volume.label_map:
            masks = _label_map(volume.label_map, values.shape, where)
            masks = np.moveaxis(masks, self.options.axis, 0)
        return _write(self, place, slices, masks, image) | {
            "import": _record(self, image, slices, scaled=scaled)
        }


def _open(path: str, where: str) -> "Nifti1Image":
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    if not Path(path).is_file():
        raise DamagedSlideError(f"{where}: no such file: {path}")
    try:
        image = nibabel.load(path)
    except (ImageFileError, OSError, EOFError, ValueError) as err:
        raise DamagedSlideError(f"{where}: is no NIfTI file that can be read: {err}") from err
    if not isinstance(image, nibabel.Nifti1Image):  # NIfTI-2 is a subclass
        raise PlanError(f"{where}: is {type(image).__name__}, not NIfTI")
    return image


def _values(image: "Nifti1Image", where: str) -> tuple[AnyPixels, bool]:
    """Read the numbers `(x, y, z)` as they are stored; says whether a scale had to be applied."""
    proxy = cast("ArrayProxy", image.dataobj)
    scaled = (proxy.slope, proxy.inter) != (1.0, 0.0)  # the header forgets them on loading
    try:
        stored = proxy if scaled else proxy.get_unscaled()
        values = np.asarray(stored)
    except (OSError, EOFError, ValueError) as err:
        raise DamagedSlideError(f"{where}: the volume is damaged: {err}") from err
    if scaled:
        values = values.astype(np.float32)
    if values.dtype.str[1:] not in DATA_TYPES:
        raise PlanError(f"{where}: holds {values.dtype}; only whole and real numbers are stored")
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3 or not values.size:
        raise PlanError(f"{where}: has the shape {values.shape}; a volume has three axes")
    return values, scaled


def _slices(values: AnyPixels, axis: int, where: str) -> AnyPixels:
    """Give the slices `(n, H, W, 1)`; the remaining axes keep their order."""
    if not -3 <= axis <= 2:
        raise PlanError(f"{where}: the axis must be from -3 to 2, got {axis}")
    return np.moveaxis(values, axis, 0)[..., None]


def _label_map(path: str, shape: tuple[int, ...], where: str) -> NDArray[np.uint8]:
    values, _ = _values(_open(path, f"{where}, label map"), f"{where}, label map")
    if values.shape != shape:
        raise PlanError(f"{where}: its label map has the shape {values.shape}, not {shape}")
    classes = np.rint(values) if values.dtype.kind == "f" else values
    if (classes != values).any() or classes.min() < 0 or classes.max() > MAX_CLASSES:
        raise PlanError(f"{where}: its label map has other values than 0 to {MAX_CLASSES}")
    return classes.astype(np.uint8)


def _write(
    job: VolumeJob,
    place: Place,
    slices: AnyPixels,
    masks: NDArray[np.uint8] | None,
    image: "Nifti1Image",
) -> dict[str, Any]:
    count, height, width, _ = slices.shape
    writer = place.writer()
    capacity = max(1, min(count, SHARD_BYTES // (slices[0].nbytes + 1024)))
    dtype = slices.dtype.str[1:]
    _put_slices(place, writer, "patches", slices, capacity)
    if masks is not None:
        _put_slices(place, writer, MASKS, masks, capacity)
    resolution = _resolution(image, job.options.axis, (float(width), float(height)))
    coords, status = group.made_up_coords(count, width), np.zeros(count, np.uint8)
    pictures = [group.as_picture(slices[i, ..., 0]) for i in pick_evenly(count, group.PICTURED)]
    partition = partition_of(count, job.options.partitions)
    names = (f"{job.volume.name}#{i}" for i in range(count))
    group.put_small(writer, coords, status, pictures, names, partition=partition)
    encoding = Encoding(
        ZSTD, LOSSLESS.configuration, "lossless", f"numbers as in the file ({slices.dtype.name})"
    )
    writer.put_sharded_document(
        "patches", slices.shape, dtype, capacity=capacity, encoding=encoding
    )
    if masks is not None:
        facts = {"missing": group.MISSING_MASK, "n_missing": 0, "values": np.unique(masks).tolist()}
        writer.put_sharded_document(
            MASKS,
            masks.shape,
            "u1",
            capacity=capacity,
            encoding=MASK_ENCODING,
            attributes={"microtome": facts},
        )
    volume = job.volume
    return group.attributes(
        Known(volume.slide_id, volume.patient, volume.site, split=volume.split),
        job.fingerprint(),
        resolution,
        encoding,
        coords=coords,
        status=status,
        patches=((height, width, 1), capacity),
    ) | {"checksums": writer.checksums, "config_hash": job.config_hash(), "reader": "nibabel"}


def _put_slices(
    place: Place, writer: SlideWriter, name: str, slices: AnyPixels, capacity: int
) -> None:
    little = slices.astype(slices.dtype.newbyteorder("<"), copy=False)
    for number, first in enumerate(range(0, len(little), capacity)):
        place.check()
        part = little[first : first + capacity]
        chunks = [encode_patch(np.ascontiguousarray(one), LOSSLESS) for one in part]
        size = group.put_sharded(
            writer, name, chunks, number=number, capacity=capacity, axes=slices.ndim
        )
        place.advance(len(chunks) if name != MASKS else 0, size)


def _voxel_mm(image: "Nifti1Image") -> list[float | None]:
    """Give the size of a voxel in mm along the file's three axes; None where it says none."""
    unit = MM_PER_UNIT.get(image.header.get_xyzt_units()[0], 1.0)
    zooms = [float(zoom) * unit for zoom in image.header.get_zooms()[:3]]
    return [zoom if np.isfinite(zoom) and zoom > 0 else None for zoom in zooms]


def _resolution(image: "Nifti1Image", axis: int, footprint: tuple[float, float]) -> Resolution:
    rows, columns = (mm for i, mm in enumerate(_voxel_mm(image)) if i != axis % 3)
    own = tuple(None if mm is None else mm * 1000 for mm in (columns, rows))
    x, y = own
    origin = "unknown" if None in own else "nifti"
    return Resolution((x, y), (x, y), origin, footprint)


def _record(
    job: VolumeJob, image: "Nifti1Image", slices: AnyPixels, *, scaled: bool
) -> dict[str, Any]:
    from nibabel.orientations import aff2axcodes

    finite = slices[np.isfinite(slices)]
    return {
        "kind": "volumes",
        "coords": "made up",
        "axis": job.options.axis % 3,
        "partitions": job.options.partitions,
        "shape": [int(n) for n in image.shape[:3]],
        "voxel_mm": _voxel_mm(image),
        "orientation": "".join(str(code) for code in aff2axcodes(image.affine)),
        "affine": [[float(v) for v in row] for row in image.affine],
        "values": [float(finite.min()), float(finite.max())] if finite.size else None,
        "not_finite": int(slices.size - finite.size),
        "scaled": scaled,
    }


def read_slices(path: str, axis: int) -> AnyPixels:
    """Read a volume as the slices that are stored of it, `(n, H, W, 1)`.

    Raises:
        DamagedSlideError: it cannot be read.
        PlanError: it is no volume of numbers.
    """
    values, _ = _values(_open(path, path), path)
    return _slices(values, axis, path)


def stem_of(path: str) -> str:
    """Give a volume's file name without .nii or .nii.gz."""
    name = PurePosixPath(path.replace("\\", "/")).name
    return name.removesuffix(".gz").removesuffix(".nii")


def volume_jobs(
    volumes: Sequence[Volume], options: VolumeOptions, location: str
) -> Iterator[VolumeJob]:
    """Give the jobs of an import."""
    return (VolumeJob(volume, options, location) for volume in volumes)
