"""Loads an export with torchmil's own dataset and collate, in a process of its own.

Runs with one of two versions of torchmil, whichever Python finds first; what it loads is written
to a file that the tests compare with the archive.
"""

import inspect
import sys
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torchmil.data import collate_fn
from torchmil.datasets import ProcessedMILDataset


def dataset(root: str, names: list[str], keys: list[str], coords: str, extension: str) -> Any:
    said = inspect.signature(ProcessedMILDataset).parameters
    renamed = "file_ext" if "file_ext" in said else "file_type"
    return ProcessedMILDataset(
        features_path=f"{root}/features/",
        labels_path=f"{root}/labels/",
        inst_labels_path=f"{root}/inst_labels/",
        coords_path=f"{root}/{coords}/",
        bag_names=names,
        bag_keys=keys,
        verbose=False,
        **{renamed: extension},
    )


def loaded(root: str, names: list[str], extension: str) -> dict[str, np.ndarray[Any, Any]]:
    found: dict[str, np.ndarray[Any, Any]] = {}
    bags = dataset(root, names, ["X", "Y", "adj", "coords"], "coords", extension)
    for name, bag in zip(bags.bag_names, bags, strict=True):
        found |= {f"{name}/{key}": bag[key].numpy() for key in ("X", "Y", "coords")}
        found[f"{name}/edges"] = bag["adj"].coalesce().indices().numpy()
        found[f"{name}/weights"] = bag["adj"].coalesce().values().numpy()
    batch = collate_fn([bags[bags.bag_names.index(name)] for name in ("hole", "single")])
    return found | {f"batch/{key}": value.to_dense().numpy() for key, value in batch.items()}


def main(target: str, npy: str, hdf5: str, names: list[str]) -> None:
    torch.sparse.check_sparse_tensor_invariants.enable()
    version = metadata.version("torchmil")
    found = {"version": np.array(version)}
    for root, extension in ((npy, ".npy"), (hdf5, ".h5")):
        arrays = loaded(root, names, extension)
        if (version, extension) != ("1.0.1", ".h5"):  # there it opens patch labels as .npy
            patches = dataset(root, ["hole"], ["X", "y_inst"], "coords", extension)
            arrays["hole/y_inst"] = patches[0]["y_inst"].numpy()
        found |= {f"{extension}/{name}": values for name, values in arrays.items()}
    pixels = dataset(npy, ["hole"], ["X", "adj"], "pixels", ".npy")
    found["pixels/edges"] = pixels[0]["adj"].coalesce().indices().numpy()
    np.savez(target, allow_pickle=False, **found)


if __name__ == "__main__":
    main(*sys.argv[1:4], sys.argv[4:])
