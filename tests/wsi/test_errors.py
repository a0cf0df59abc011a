"""Errors are what they stand for, and cross process borders."""

import pickle

import pytest

from wsi import errors


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.UnreadableSlideError, OSError),
        (errors.UnsupportedSlideError, ValueError),
        (errors.MissingMppError, ValueError),
        (errors.RegionError, OSError),
        (errors.InvalidRequestError, ValueError),
        (errors.MissingReaderError, ImportError),
    ],
)
def test_each_error_stands_for_a_builtin_and_pickles(
    kind: type[errors.SlideError], builtin: type[Exception]
) -> None:
    error = kind("a.svs: it is broken")
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, errors.SlideError)
    assert isinstance(copy, builtin)
    assert type(copy) is kind
    assert str(copy) == "a.svs: it is broken"
