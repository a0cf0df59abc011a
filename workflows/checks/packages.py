"""Are the libraries there, and do they load?"""

from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from importlib.util import find_spec

from workflows.checks.check import Check

CORE = {
    "openslide": "openslide-python",
    "tiffslide": "tiffslide",
    "tifffile": "tifffile",
    "imagecodecs": "imagecodecs",
    "simplejpeg": "simplejpeg",
    "pydicom": "pydicom",
    "zarr": "zarr",
    "numpy": "numpy",
    "PIL": "pillow",
    "scipy": "scipy",
    "distributed": "distributed",
    "fsspec": "fsspec",
    "pyarrow": "pyarrow",
    "pydantic": "pydantic",
    "google_crc32c": "google-crc32c",
    "jinja2": "jinja2",
}
"""Module and distribution of what `tile` needs."""

EXTRAS = {
    "models": ("torch", "timm", "safetensors", "h5py", "sklearn", "nibabel"),
    "interop": ("spatialdata", "wsidata"),
    "service": ("fastapi", "uvicorn", "sqlalchemy"),
    "federated": ("flwr",),
    "s3": ("s3fs",),
}
"""Modules of the extras; those that are not asked for are only mentioned."""

IMPORT_ERRORS = (ImportError, OSError, AttributeError, ValueError, RuntimeError)
"""What a broken installation raises: a missing shared library is an OSError."""


def check_packages() -> Iterator[Check]:
    """Import everything that `tile` needs."""
    for module, distribution in CORE.items():
        try:
            import_module(module)
            found = metadata.version(distribution)
        except IMPORT_ERRORS as err:
            advice = f"pip install --force-reinstall {distribution}"
            yield Check(distribution, "fail", f"does not load: {err}", advice)
        else:
            yield Check(distribution, "ok", found)


def check_native() -> Iterator[Check]:
    """Ask the native libraries for their versions."""
    yield _native("OpenSlide", _openslide_version, "pip install openslide-bin")
    yield _native("libjpeg-turbo", _simplejpeg_version, "pip install simplejpeg")
    for name, function in (
        ("OpenJPEG", "jpeg2k_version"),
        ("libjxl", "jpegxl_version"),
        ("zstd", "zstd_version"),
    ):
        yield _native(name, _Imagecodecs(function), "pip install imagecodecs")


def check_extras() -> Iterator[Check]:
    """Say which extras are not installed, and how to get them."""
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        if missing:
            advice = f"pip install 'microtome[{extra}]', where it is needed"
            yield Check(f"extra {extra}", "note", f"without {', '.join(missing)}", advice)
        else:
            yield Check(f"extra {extra}", "ok", "installed")


class _Imagecodecs:
    """Asks imagecodecs for one library's version."""

    def __init__(self, function: str) -> None:
        self._function = function

    def __call__(self) -> str:
        import imagecodecs

        return str(getattr(imagecodecs, self._function)())


def _native(name: str, ask: Callable[[], str], install: str) -> Check:
    try:
        return Check(name, "ok", ask())
    except IMPORT_ERRORS as err:
        return Check(name, "fail", f"cannot be asked: {err}", install)


def _openslide_version() -> str:
    import openslide

    return str(openslide.__library_version__)


def _simplejpeg_version() -> str:
    import simplejpeg

    return f"in simplejpeg {simplejpeg.__version__}"
