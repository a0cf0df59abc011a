"""MoCo v3 and the strategies on its core in the papers' words: queries, keys, and who is what."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import normalize

from models.ssl.mocov3 import MoCoV3
from models.training.method import Views
from tests.models.losses.loops import contrast_loop, dot


class Entry(NamedTuple):
    """A key, or a query with its own key's number."""

    vector: list[float]
    slide: int
    patch: int


Roles = Callable[[Entry, int, list[Entry]], tuple[set[int], set[int]]]
"""From a query, the number of its own key and all keys: positives and removed."""


def ranked(query: Entry, own: int, keys: list[Entry], pool: str = "any") -> list[int]:
    """Candidates of a query, highest cosine first."""
    found = []
    for j, key in enumerate(keys):
        alike = key.slide == query.slide
        if j != own and (pool == "any" or alike == (pool == "same_slide")):
            found.append((-dot(query.vector, key.vector), j))
    return [j for _, j in sorted(found)]


def moco_loop(method: MoCoV3, views: Views, roles: Roles) -> float:
    """ctr(q1, k2) + ctr(q2, k1), each 2 tau times the mean over queries with a negative."""
    first, second = views.images
    return _direction(method, views, roles, first, second) + _direction(
        method, views, roles, second, first
    )


def _direction(method: MoCoV3, views: Views, roles: Roles, asked: Tensor, other: Tensor) -> float:
    tau, losses = method.settings.temperature, []
    queries = _entries(method.predictor(method.projector(method.encoder(asked))), views)
    keys = _entries(method.twin(other), views)
    for i, query in enumerate(queries):
        positives, removed = roles(query, i, keys)
        if len(positives | removed) < len(keys) or not removed:
            vectors = [key.vector for key in keys]
            losses.append(contrast_loop(query.vector, vectors, positives, removed, tau))
    return 2 * tau * sum(losses) / len(losses)


def _entries(vectors: Tensor, views: Views) -> list[Entry]:
    rows = normalize(vectors.detach(), dim=1).tolist()
    return [
        Entry(row, slide, patch)
        for row, slide, patch in zip(rows, views.slide.tolist(), views.patch.tolist(), strict=True)
    ]
