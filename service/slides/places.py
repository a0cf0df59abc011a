"""Paths that clients name: always relative to a root, never outside it, whatever links say."""

from pathlib import Path, PurePosixPath

from service.errors import InvalidError, NotFoundError

MOST_CHARACTERS = 1000


def check_relative(path: str) -> PurePosixPath:
    """Refuse what is no plain relative path.

    Raises:
        InvalidError: absolute, a URL, a hidden name, `..`, or characters that no slide has.
    """
    parts = path.split("/")
    if not path or len(path) > MOST_CHARACTERS or not path.isprintable() or "\\" in path:
        raise InvalidError(f"{path[:80]!r} is no path of a slide")
    if "://" in path or path.startswith(("/", "~")) or ":" in parts[0]:
        raise InvalidError(f"{path[:80]!r} must be relative to the folder of slides")
    if any(not part or part.startswith(".") for part in parts):
        raise InvalidError(f"{path[:80]!r} holds a hidden name, an empty one, or `..`")
    return PurePosixPath(path)


def resolve_inside(root: Path, path: str) -> Path:
    """Give the file that a relative path names, without links.

    Raises:
        InvalidError: it is no plain relative path, or leads out of the root.
        NotFoundError: there is no such file.
    """
    relative = check_relative(path)
    try:
        home = root.resolve(strict=True)
        found = (home / relative).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as err:  # RuntimeError: links in a circle
        raise NotFoundError(f"there is no file {path!r}") from err
    inside = found.relative_to(home) if found.is_relative_to(home) else None
    if inside is None or any(part.startswith(".") for part in inside.parts):
        raise InvalidError(f"{path!r} leads out of the folder of slides")
    if not found.is_file():
        raise InvalidError(f"{path!r} is not a file")
    return found


def allowed_file(location: str, roots: tuple[Path, ...]) -> Path | None:
    """Give the file of an absolute location, None where it is not under one of the roots."""
    if "://" in location or "\0" in location:
        return None
    try:
        found = Path(location).resolve(strict=True)
        homes = [root.resolve(strict=True) for root in roots if root.exists()]
    except (OSError, RuntimeError):
        return None
    return found if found.is_file() and any(map(found.is_relative_to, homes)) else None
