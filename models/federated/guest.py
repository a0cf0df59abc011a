"""A site that learns what to do from the orders that come, and opens its patches for them."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from models.federated.bench import Bench
from models.federated.errors import ProtocolError
from models.federated.joining import Members, guess_kind, open_site
from models.federated.plan import Plan
from models.federated.privacy import FeaturePrivacy
from models.federated.protocol import Order
from models.federated.site import Site, Work

log = logging.getLogger(__name__)


class Guest:
    """One site of a run whose plan it is told.

    The weights come with each order, so a plan never makes a guest read a file or ask a hub: only
    names of networks are taken from it.

    Args:
        members: whose slides or volumes it has.
        folder: where it keeps its own bank.
        device: where it trains.
        privacy: what is done to features before they leave; the server has no say in it.
        tell: takes the number of each round, that of all rounds, and what the round was, for the
            site's own eyes.
    """

    def __init__(
        self,
        members: Members,
        folder: Path,
        device: torch.device,
        privacy: FeaturePrivacy,
        tell: Callable[[int, int, Work], None],
    ) -> None:
        self.members, self.folder, self.device, self.privacy = members, folder, device, privacy
        self._tell = tell
        self._site: Site | None = None

    def work(self, message: bytes) -> bytes:
        """Do a round; gives the answer.

        Raises:
            ProtocolError: the order is not one that this site can follow.
            NumericsError: the loss is not finite.
            DataError: the patches are not what the plan trains on.
        """
        order = Order.decode(message)
        plan = Plan.of(order.plan)
        kind = guess_kind(self.members)
        if plan.data != kind:
            raise ProtocolError(f"the plan is for {plan.data}, and this site has {kind}")
        if self._site is None or self._site.bench.asked != plan:
            bench = Bench(replace(plan, weights="random"), self.device, asked=plan)
            self._site = open_site(self.members, bench, self.folder, self.privacy)
        answer = self._site.work(message)
        self._tell(order.round, plan.rounds, self._site.last)
        return answer
