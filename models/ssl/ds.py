"""DS: how many keys are selected changes with the epoch, the query, or both."""

import math
from collections.abc import Callable

from models.ssl.keys import Keys, Queries
from models.ssl.mocov3 import MoCoV3
from models.ssl.roles import Roles, promote, remove
from models.ssl.selection import select
from models.ssl.settings import DsCurve, MethodSettings
from models.training.method import Clock


class Ds(MoCoV3):
    """Dynamic sampling, on the core of MoCo v3: SRCL with S(i, e) extra positives.

    Lenz, El Nahhas, Ligero, Kather, Reducing self-supervised learning complexity improves
    weakly-supervised classification performance in computational pathology, 2024, arXiv
    2403.04558; METHODS 4.3.

    Differs from the paper: it gives only the name; this is our definition. By default S walks from
    0 at epoch e0 to S_max at e1, from MoCo v3 to SRCL. `ds_action` remove drops the same keys as
    N-Sam does, instead of promoting them.
    """

    def roles(self, queries: Queries, keys: Keys, clock: Clock) -> Roles:
        """Promote, or remove, as many keys as the epoch and the query allow."""
        settings = self.settings
        found = select(
            queries,
            keys,
            most_selected(settings, clock.epoch, clock.epochs),
            pool=settings.pool,
            threshold=None if settings.ds_mode == "schedule" else settings.ds_threshold,
            block=settings.block,
        )
        act = promote if settings.ds_action == "promote" else remove
        return act(queries, keys, found)


def most_selected(settings: MethodSettings, epoch: int, epochs: int) -> int:
    """Give the most that a query selects in an epoch: S_e, or S_max with a threshold alone.

    S_e = round(S_max g(u)), halves up, u = clamp((e - e0) / (e1 - e0), 0, 1); where e1 <= e0, u is
    1 from e0 on. Before e0 it is 0 in every mode.

    Args:
        settings: S_max is `positives`, e0 `plain_epochs`, e1 the share `ds_end` of all epochs.
        epoch: e, counted from 0.
        epochs: E.
    """
    if epoch < settings.plain_epochs:
        return 0
    if settings.ds_mode == "threshold":
        return settings.positives
    length = settings.ds_end * epochs - settings.plain_epochs
    done = min(1.0, (epoch - settings.plain_epochs) / length) if length > 0 else 1.0
    return math.floor(settings.positives * _CURVES[settings.ds_curve](done) + 0.5)


_CURVES: dict[DsCurve, Callable[[float], float]] = {
    "linear": lambda done: done,
    "cosine": lambda done: (1 - math.cos(math.pi * done)) / 2,
    "step": math.floor,
}
"""g: from 0 to 1; the step is at the end of the walk (our choice)."""
