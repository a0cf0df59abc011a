"""Names of arrays of masks: true ones, or a set of pseudo masks with one array per layer."""

import re
from collections.abc import Sequence
from typing import Any

from models.errors import LabelsError
from tiling.store import PatchStore

PSEUDO = "pseudo"
"""Name of the set of pseudo masks unless another is chosen."""


def layer_array(name: str, tap: str) -> str:
    """Give the array of a layer's pseudo masks, such as pseudo_bn7."""
    return f"{name}_{re.sub('[^A-Za-z0-9]+', '_', tap)}"


def about_masks(store: PatchStore, array: str) -> dict[str, Any] | None:
    """Read what was recorded of an array of masks; None where there is no such array."""
    try:
        document = store.document(array)
    except FileNotFoundError:
        return None
    known: dict[str, Any] = document.get("attributes", {}).get("microtome", {})
    return known


def set_of(store: PatchStore, name: str) -> dict[str, dict[str, Any]]:
    """Give the arrays of a set of pseudo masks, and what was recorded of each."""
    names = [n for n in store.storage.names(store.slide_id) if n.startswith(f"{name}_")]
    known = {array: about_masks(store, array) for array in names}
    return {a: about for a, about in known.items() if about and about.get("set") == name}


def layers_of(store: PatchStore, masks: Sequence[str]) -> tuple[str, ...]:
    """Find the arrays of masks, the most trusted first.

    Args:
        store: a slide that has them.
        masks: names of arrays, or the name of a set of pseudo masks.

    Raises:
        LabelsError: there are no such masks.
    """
    if all(about_masks(store, name) is not None for name in masks):
        return tuple(masks)
    if len(masks) == 1 and (found := set_of(store, masks[0])):
        return tuple(sorted(found, key=lambda name: int(found[name]["order"])))
    raise LabelsError(
        f"{store.slide_id} has no masks {', '.join(masks)}; `microtome segment pseudo-masks` makes "
        "them from labels, and true ones are called masks"
    )
