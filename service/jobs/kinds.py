"""What a word in the config of a job stands for: a place, a name, or only a word."""

from enum import StrEnum


class Kind(StrEnum):
    """Kind of a field that holds text; forms are made from it."""

    TEXT = "text"
    NAME = "name"
    LABEL = "label"
    NETWORK = "network"
    SLIDES = "slides"
    ARCHIVE = "archive"
    ARCHIVES = "archives"
    NEW_ARCHIVE = "new-archive"
    ARCHIVE_OR_SLIDES = "archive-or-slides"
    TABLE = "table"
    FILE = "file"
    FOLDER = "folder"
    SOURCE = "source"
    ENCODER = "encoder"
    WEIGHTS = "weights"
    NAMED_WEIGHTS = "named-weights"
    OUT_FOLDER = "out-folder"
    OUT_HTML = "out-html"
    OUT_CSV = "out-csv"
    MACHINE = "machine"


WORDS = frozenset({Kind.TEXT, Kind.NAME, Kind.LABEL, Kind.NETWORK, Kind.MACHINE})
"""Kinds that are no places."""
OUTPUTS = frozenset({Kind.OUT_FOLDER, Kind.OUT_HTML, Kind.OUT_CSV, Kind.NEW_ARCHIVE})
"""Kinds that a job writes."""

ABOUT: dict[Kind, str] = {
    Kind.SLIDES: (
        "IDs of slides, or `slides/<path>` of files and folders under the slides root; "
        "`slides/` is all of it."
    ),
    Kind.ARCHIVE: "Name of an archive, such as demo.zarr.",
    Kind.ARCHIVES: "Names of archives, such as demo.zarr.",
    Kind.NEW_ARCHIVE: "Name of an archive, such as demo.zarr; a new one is made.",
    Kind.ARCHIVE_OR_SLIDES: (
        "Name of one archive; or IDs of slides, or `slides/<path>` under the slides root."
    ),
    Kind.TABLE: "Path of a CSV file in the service's folder, such as tables/manifest.csv.",
    Kind.FILE: "Path of a file in the service's folder.",
    Kind.FOLDER: "Path of a folder in the service's folder, such as runs/a.",
    Kind.SOURCE: "Path of a file or a folder in the service's folder.",
    Kind.ENCODER: "Name of an encoder, or path of a checkpoint in the service's folder.",
    Kind.WEIGHTS: "Path of a file in the service's folder, or a word such as random:0.",
    Kind.NAMED_WEIGHTS: "As ENCODER=PATH, a file in the service's folder, or ENCODER=random:0.",
    Kind.OUT_FOLDER: "Path of a folder in the service's folder, such as runs/a.",
    Kind.OUT_HTML: "Path of an .html file in the service's folder, such as reports/a.html.",
    Kind.OUT_CSV: "Path of a .csv file in the service's folder, such as runs/a/predictions.csv.",
}
"""What a client gives for a place."""
