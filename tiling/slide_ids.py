"""Slide ids: the name of a slide's group in an archive, made from what the user called it.

The rules, which an id obeys whatever it was made from:

* only ``A-Z a-z 0-9 . _ -``; every ``/`` becomes ``__``, any other character ``_``, and accents
  are dropped;
* never empty, never starts with ``.``, ``_`` or ``-`` (hidden, reserved by Zarr, an option);
* never ends with ``.``, never is a file name that an archive uses itself (``zarr.json``, ...);
* at most 120 characters.

Where a rule loses letters (a name in another script, a long name), eight hex digits of the sha256
of the original are added, so that different names stay different.
"""

import re
import unicodedata
from pathlib import PurePath, PurePosixPath

MAX_LENGTH = 120
"""Longest id in characters: file systems allow 255 bytes, and exports add suffixes."""

RESERVED = frozenset({"zarr.json", "slides.parquet", "failures.csv", "report.html", "config.json"})
"""Names in an archive's root that are no slides."""

DOUBLE_EXTENSIONS = (".ome.tif", ".ome.tiff", ".ome.btf")

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}$")


def safe_slide_id(name: str) -> str:
    """Return the id that the rules make of a name; one that obeys them is returned as it is."""
    plain = unicodedata.normalize("NFKD", name)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    text = _UNSAFE.sub("_", plain.replace("\\", "/").strip("/ ").replace("/", "__"))
    text = text.lstrip("._-").rstrip(".")
    lost = not text or any(not c.isascii() and c.isalnum() for c in plain)
    if text.casefold() in RESERVED:
        text, lost = text.replace(".", "_"), True
    if lost or len(text) > MAX_LENGTH:
        text = _with_digest(text, name)
    return text


def slide_id_from_path(path: str | PurePath, root: str | PurePath | None = None) -> str:
    """Return the id of a slide file: its path relative to `root`, without its extension.

    Args:
        path: path or URL of the slide.
        root: the folder that the user named; without it, or outside it, the file name counts.
    """
    posix = PurePosixPath(str(path).replace("\\", "/"))
    relative = PurePosixPath(posix.name)
    if root is not None:
        base = PurePosixPath(str(root).replace("\\", "/"))
        if posix.is_relative_to(base):
            relative = posix.relative_to(base)
    return safe_slide_id(str(relative.parent / without_extension(relative.name)))


def without_extension(name: str) -> str:
    """Return a file name without its extension: a.ome.tif -> a, but 2021.07.123 stays whole."""
    for double in DOUBLE_EXTENSIONS:
        if name.lower().endswith(double) and len(name) > len(double):
            return name[: -len(double)]
    return _EXTENSION.sub("", name) or name


def _with_digest(text: str, original: str) -> str:
    """Return text shortened to fit, with digits of the original's digest."""
    import hashlib  # costs as much as all else here, and is seldom needed

    digest = hashlib.sha256(original.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    kept = text[: MAX_LENGTH - 9].rstrip("._-") or "slide"
    return f"{kept}-{digest}"
