"""The table of readers, and how one is chosen; a reader's library is imported at first use."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from wsi.errors import (
    MissingReaderError,
    SlideError,
    UnreadableSlideError,
    UnsupportedSlideError,
)
from wsi.handle import GivenMpp
from wsi.slide import Slide


@dataclass(frozen=True, slots=True)
class ReaderEntry:
    """Where a reader is, what it is tried on, and what to install for it."""

    module: str
    class_name: str
    extensions: frozenset[str]
    install: str
    remote: bool = False


TIFF = frozenset({".tif", ".tiff", ".svs", ".ndpi", ".scn", ".bif", ".svslide", ".qptiff"})
# OpenSlide opens many an OME-TIFF, but sees neither its microns per pixel nor its lower levels.
OME_TIFF = (".ome.tif", ".ome.tiff", ".ome.tf2", ".ome.tf8", ".ome.btf")
# In the order in which they are tried. A new reader is one more entry.
READERS: dict[str, ReaderEntry] = {
    "openslide": ReaderEntry(
        "wsi.readers.openslide",
        "OpenSlideSlide",
        TIFF | {".mrxs", ".vms", ".vmu", ".dcm", ".czi", ".dicom", ""},
        "pip install openslide-python openslide-bin",
    ),
    "tiffslide": ReaderEntry(
        "wsi.readers.tiffslide",
        "TiffSlideSlide",
        TIFF | {".btf", ".tf2", ".tf8", ".gtif"},
        "pip install tiffslide",
        remote=True,
    ),
    "image": ReaderEntry(
        "wsi.readers.image",
        "ImageSlide",
        frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}),
        "pip install pillow",
    ),
}


def is_url(location: str) -> bool:
    """Whether the location names a protocol, such as s3://; a local path does not."""
    return "://" in location


def slide_extensions() -> frozenset[str]:
    """Lower-case extensions, with the dot, of the files that some reader is tried on."""
    return frozenset().union(*(entry.extensions for entry in READERS.values())) - {""}


def reader_class(name: str) -> type[Slide]:
    """The class of a reader.

    Raises:
        UnsupportedSlideError: no reader has this name.
        MissingReaderError: its library is not installed.
    """
    entry = READERS.get(name)
    if entry is None:
        raise UnsupportedSlideError(f"no reader {name!r}; there are: {', '.join(READERS)}")
    try:
        found = getattr(import_module(entry.module), entry.class_name)
    except ImportError as err:
        raise MissingReaderError(f"reader {name!r} needs: {entry.install} ({err})") from err
    if not (isinstance(found, type) and issubclass(found, Slide)):
        raise UnsupportedSlideError(f"reader {name!r}: {entry.class_name} is not a Slide")
    return found


def open_slide(
    location: str | os.PathLike[str],
    reader: str | None = None,
    mpp: GivenMpp = None,
    *,
    icc: bool = False,
) -> Slide:
    """Open a slide with the named reader, or with the first one that knows its format.

    Args:
        location: a path, or a URL (s3://, http://, memory://, ...).
        reader: "openslide", "tiffslide" or "image"; by default they are tried in this order.
        mpp: um/px of level 0, one value or (x, y), in place of what the file says.
        icc: convert pixels to sRGB with the slide's ICC profile.

    Raises:
        SlideError: it cannot be opened; the class says whose fault it is.
    """
    place = os.fspath(location).removeprefix("file://")
    if not is_url(place):
        _check_file(place)
    if reader is not None:
        return reader_class(reader)(place, mpp=mpp, icc=icc)
    return _open_first(place, mpp, icc=icc)


def _check_file(place: str) -> None:
    path = Path(place)
    try:
        size = path.stat().st_size
    except FileNotFoundError as err:
        raise UnreadableSlideError(f"{place}: no such file") from err
    except (OSError, ValueError) as err:
        raise UnreadableSlideError(f"{place}: cannot be read: {err}") from err
    if path.is_dir():
        raise UnreadableSlideError(f"{place}: is a folder, not a slide")
    if size == 0:
        raise UnreadableSlideError(f"{place}: the file is empty")
    if not os.access(path, os.R_OK):
        raise UnreadableSlideError(f"{place}: no permission to read it")


def _candidates(place: str) -> Iterator[str]:
    """Readers that list the extension; for an unknown one, all of them."""
    if is_url(place):
        yield from (name for name, entry in READERS.items() if entry.remote)
        return
    if place.lower().endswith(OME_TIFF):
        yield from ("tiffslide", "openslide")
        return
    extension = Path(place).suffix.lower()
    known = [name for name, entry in READERS.items() if extension in entry.extensions]
    yield from known or READERS


def _open_first(place: str, mpp: GivenMpp, *, icc: bool) -> Slide:
    causes: list[SlideError] = []
    for name in _candidates(place):
        try:
            return reader_class(name)(place, mpp=mpp, icc=icc)
        except (UnsupportedSlideError, MissingReaderError) as err:
            causes.append(err)
        except UnreadableSlideError as err:
            if not causes:
                raise  # the first reader knows the format, so the file is at fault
            causes.append(err)
    if len(causes) == 1:
        raise causes[0]
    known = next((err for err in causes if isinstance(err, UnreadableSlideError)), None)
    if known is not None:
        raise known
    raise UnsupportedSlideError(
        f"{place}: not a slide that a reader here knows, or damaged beyond recognition "
        f"(tried {', '.join(_candidates(place))})"
    ) from (causes[-1] if causes else None)
