"""Finds the linear probe that a run has left."""

from typing import TYPE_CHECKING

from workflows.probing.files import PROBE, is_probe

if TYPE_CHECKING:
    from models.probe import LinearProbe, ProbeCard

SUFFIX = ".safetensors"


def read_probe(place: str, encoder: str | None) -> "tuple[LinearProbe, ProbeCard]":
    """Read a probe's file, or that of an encoder in the folder of a run.

    Args:
        place: path or URL of a file or a folder.
        encoder: name of the embeddings; a folder's only probe is taken whatever its name.

    Raises:
        WeightsError: there is none, there are several, or it is damaged.
    """
    from models.errors import WeightsError
    from models.probe import unpack_probe
    from tiling.storage import open_storage

    folder, name = place.rstrip("/"), ""
    if folder.endswith(SUFFIX):
        parent, slash, name = folder.rpartition("/")
        folder = parent or slash or "."
    storage = open_storage(folder)
    if not name:
        name = _choose(place, storage.names(""), encoder)
    try:
        data = storage.read(name)
    except OSError as err:
        raise WeightsError(f"cannot read the probe {folder}/{name}: {err}") from err
    return unpack_probe(data, f"{folder}/{name}")


def _choose(place: str, names: list[str], encoder: str | None) -> str:
    from models.errors import WeightsError

    there = sorted(filter(is_probe, names))
    named = PROBE.format(encoder=encoder)
    if named in there:
        return named
    if len(there) == 1:  # embeddings may have another name here; the card says whether they fit
        return there[0]
    if not there:
        raise WeightsError(
            f"{place} holds no linear probe; it is made by: microtome probe --probe linear"
        )
    known = ", ".join(there)
    raise WeightsError(f"{place} holds the linear probes {known}; choose a file, or by --encoder")
