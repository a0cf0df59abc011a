"""Between the arrays of archives and scores and the tensors of probes."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Floats = NDArray[np.float64]


def features_tensor(values: ArrayLike) -> Tensor:
    """Give embeddings as float32 (n, D).

    Raises:
        ValueError: they have another shape, or there are none.
    """
    found = np.ascontiguousarray(values, np.float32)
    if found.ndim != 2 or not len(found):
        raise ValueError(f"embeddings must be (n, D) with n > 0, got {found.shape}")
    return torch.from_numpy(found)


def labels_tensor(values: ArrayLike) -> Tensor:
    """Give class numbers as int64 (n,)."""
    return torch.from_numpy(np.ascontiguousarray(values, np.int64))


def as_scores(values: Tensor) -> Floats:
    """Give scores as float64 on the CPU."""
    return np.asarray(values.detach().cpu().double().numpy(), np.float64)
