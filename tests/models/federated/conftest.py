"""An archive of volumes of three sites, made once."""

from pathlib import Path

import pytest

from tests.models.federated.small import make_archive


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sites of two volumes of eight slices."""
    return make_archive(tmp_path_factory.mktemp("volumes"))
