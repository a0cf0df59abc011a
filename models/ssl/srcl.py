"""SRCL: the most similar other keys are positives too."""

from models.ssl.keys import Keys, Queries
from models.ssl.mocov3 import MoCoV3
from models.ssl.roles import Roles, promote
from models.ssl.selection import select
from models.training.method import Clock


class Srcl(MoCoV3):
    """Semantically-relevant contrastive learning, on the core of MoCo v3.

    Wang, Yang, Zhang, Wang, Zhang, Yang, Huang, Han, Transformer-based Unsupervised Contrastive
    Learning for Histopathological Image Classification, Medical Image Analysis 2022; METHODS 4.3.
    Positives are the own key and the S most similar others (S = 5, review), the sum over them
    inside the log: -log[ sum_P psi_j / sum_all psi_j ]. The first epochs use the plain loss.

    Differs from the paper: its S, queue and temperature are unknown; the bracket and the index
    that the reviewed formula misses are put where they are evidently meant; the pool may be
    restricted to the own or to other slides (our choice). 2 tau and both directions are MoCo v3's
    (our choice), so S = 0 is MoCo v3.
    """

    def roles(self, queries: Queries, keys: Keys, clock: Clock) -> Roles:
        """Promote the S most similar keys of the pool."""
        settings = self.settings
        count = settings.positives if clock.epoch >= settings.plain_epochs else 0
        found = select(queries, keys, count, pool=settings.pool, block=settings.block)
        return promote(queries, keys, found)
