"""Where the trained models of a run lie: `--model` takes a file, or the folder of a run."""

from pathlib import Path

from models.errors import WeightsError
from models.segmentation.card import Role

SUFFIX = ".safetensors"


def model_file(role: Role) -> str:
    """Give the name that a run writes its model under."""
    return f"{role}{SUFFIX}"


def find_model(place: str | Path, role: Role) -> Path:
    """Find a model's file; its role is checked when it is opened.

    Args:
        place: of the file, or of the folder of a run that trained it.
        role: which of a folder's models.

    Raises:
        WeightsError: there is none.
    """
    path = Path(place).expanduser()
    if path.is_file():
        return path
    usual = path / model_file(role)
    if usual.is_file():
        return usual
    if not path.is_dir():
        raise WeightsError(f"there is no model {path}; give a file, or the folder of a run")
    names = ", ".join(file.name for file in sorted(path.glob(f"*{SUFFIX}")))
    there = f"only {names}" if names else "no model at all; was its training finished?"
    raise WeightsError(f"a {role} is needed; the folder {path} holds {there}")


def find_beside(path: str | Path, role: Role = "classifier") -> Path | None:
    """Find the classifier, or another model, in the folder of a model; None where there is none.

    Args:
        path: of the file of the model, or of its folder.
        role: of what is looked for.
    """
    place = Path(path).expanduser()
    found = (place if place.is_dir() else place.parent) / model_file(role)
    return found if found.is_file() else None
