"""Queries, the keys that they are compared with, and the queue of keys of earlier steps."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

NOBODY = -1
"""Patch of a place in the queue that is still empty; no patch has this number."""


class Rows(NamedTuple):
    """Vectors and whose they are.

    Attributes:
        vectors: rows of length 1, `(n, D)`.
        slide: of each, int64 `(n,)`.
        patch: of each, int64 `(n,)`.
    """

    vectors: Tensor
    slide: Tensor
    patch: Tensor


class Queries(NamedTuple):
    """Queries of one view.

    Attributes:
        rows: their vectors and patches, b of them.
        own: index of each one's own key, int64 `(b,)`.
    """

    rows: Rows
    own: Tensor


class Keys(NamedTuple):
    """Keys of the other view of all patches of a step, then those of the queue.

    Attributes:
        rows: their vectors and patches, M of them.
        fresh: how many are of this step.
    """

    rows: Rows
    fresh: int

    def hidden(self, patch: Tensor) -> Tensor | None:
        """Say which keys queries must not meet, bool (r, M); None where all may be met.

        Entries of the queue that are of a query's own patch, or empty (METHODS 4.2, our choice).

        Args:
            patch: of each query, (r,).
        """
        if self.fresh == len(self.rows.patch):
            return None
        found = (self.rows.patch == patch[:, None]) | (self.rows.patch == NOBODY)
        found[:, : self.fresh] = False
        return found


class Queue(nn.Module):
    """The last keys of both directions, first in first out; buffers, so that a run resumes.

    He, Fan, Wu, Xie, Girshick, Momentum Contrast for Unsupervised Visual Representation Learning,
    CVPR 2020, arXiv 1911.05722, section 3.2. Differs from the paper: entries carry slide and patch,
    it starts empty instead of with random vectors, and there is one per direction.

    Args:
        length: entries per direction; 0 keeps none.
        features: length of a key.
    """

    keys: Tensor
    slide: Tensor
    patch: Tensor
    cursor: Tensor

    def __init__(self, length: int, features: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(2, length, features))
        self.register_buffer("slide", torch.full((length,), NOBODY))
        self.register_buffer("patch", torch.full((length,), NOBODY))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        """Entries per direction, empty ones too."""
        return len(self.patch)

    def behind(self, fresh: Rows, direction: int) -> Keys:
        """Append the queue of one direction, 0 or 1, to the keys of this step."""
        count = len(fresh.patch)
        if not len(self):
            return Keys(fresh, count)
        old = Rows(self.keys[direction], self.slide, self.patch)
        return Keys(Rows(*(torch.cat(pair) for pair in zip(fresh, old, strict=True))), count)

    @torch.no_grad()
    def push(self, first: Rows, second: Rows) -> None:
        """Put a step's keys of both directions, of the same patches, in place of the oldest."""
        count = min(len(first.patch), len(self))
        if not count:
            return
        places = (self.cursor + torch.arange(count, device=self.cursor.device)) % len(self)
        self.keys[0, places] = first.vectors[-count:].to(self.keys.dtype)
        self.keys[1, places] = second.vectors[-count:].to(self.keys.dtype)
        self.slide[places], self.patch[places] = first.slide[-count:], first.patch[-count:]
        self.cursor.copy_((self.cursor + count) % len(self))
