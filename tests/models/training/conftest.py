"""The archive of the data set's tests."""

from tests.models.data.conftest import archive

__all__ = ["archive"]
