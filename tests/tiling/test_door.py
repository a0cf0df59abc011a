"""The public door of `tiling`: exactly what it names, and lazily."""

import subprocess
import sys

import pytest

import tiling


def test_every_public_name_can_be_imported() -> None:
    assert all(getattr(tiling, name).__name__ == name for name in tiling.__all__)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Tiler'"):
        _ = tiling.Tiler


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, tiling; print({'zarr', 'distributed', 'numpy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
