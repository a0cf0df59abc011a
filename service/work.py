"""The folder of the service, and the database that goes with it."""

from pathlib import Path

from service.database import default_url
from workflows.serve import ServeConfig


def work_folder(settings: ServeConfig) -> Path:
    """Give the folder; it is made where it is not there."""
    work = Path(settings.work).absolute()
    work.mkdir(parents=True, exist_ok=True)
    return work


def database_url(settings: ServeConfig) -> str:
    """Give the database's URL."""
    return settings.database or default_url(work_folder(settings))
