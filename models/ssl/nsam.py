"""N-Sam: likely false negatives are dropped."""

from models.ssl.keys import Keys, Queries
from models.ssl.mocov3 import MoCoV3
from models.ssl.roles import Roles, plain, remove, remove_slide
from models.ssl.selection import select
from models.training.method import Clock


class NSam(MoCoV3):
    """Negative sampling, on the core of MoCo v3: likely false negatives are not in the sum.

    Lenz, El Nahhas, Ligero, Kather, Reducing self-supervised learning complexity improves
    weakly-supervised classification performance in computational pathology, 2024, arXiv
    2403.04558; METHODS 4.3. -log[ psi_own / (psi_own + sum of the negatives kept) ].

    Differs from the paper: it gives only the name; this is our definition, the counterpart of
    SRCL. `rule` similar drops the S most similar keys, same_slide all of the query's slide.
    Queries without any negative are left out of the mean and counted (`left_out`).
    """

    def roles(self, queries: Queries, keys: Keys, clock: Clock) -> Roles:
        """Drop what the rule says."""
        settings = self.settings
        warm = clock.epoch < settings.plain_epochs
        if settings.rule == "same_slide":
            return plain(queries, keys) if warm else remove_slide(queries, keys)
        count = 0 if warm else settings.positives
        found = select(queries, keys, count, block=settings.block)
        return remove(queries, keys, found)
