"""Names in a request that a worker elsewhere must understand: paths become absolute."""

from pathlib import Path


def is_file(name: str | None) -> bool:
    """Whether a name is that of a file here."""
    return name is not None and Path(name).expanduser().is_file()


def file_or_name(name: str) -> str:
    """Make the path of a file absolute; other names stay."""
    return absolute(name) if is_file(name) else name


def location(place: str) -> str:
    """Make a path absolute; URLs stay."""
    return place if "://" in place else absolute(place)


def absolute(path: str) -> str:
    """Make a path absolute."""
    return str(Path(path).expanduser().absolute())
