"""Makes a job ready to run: places become those of the server, and it gets its cluster."""

from pathlib import Path

from service.jobs.claims import Claim
from service.jobs.cluster import DEVICES
from service.jobs.machine import fill
from service.jobs.offers import Offer, find_offer
from service.jobs.places import Places
from service.jobs.process import Prepared
from service.jobs.scheduler import SchedulerError
from service.jobs.workers import Cluster

FOLDER = "jobs"
"""In the service's folder; each job has its own in it."""


class Preparation:
    """Prepares jobs; safe to share between threads.

    Args:
        work: folder of the service.
        places: translates configs.
        cluster: that jobs run on.
        workers: processes of jobs that need no cluster.
    """

    def __init__(self, work: Path, places: Places, cluster: Cluster, workers: int | None) -> None:
        self._work, self._places = work, places
        self._cluster, self._workers = cluster, workers

    def __call__(self, claim: Claim) -> Prepared:
        """Make a job ready; what it reads may have gone since it was submitted.

        Raises:
            InvalidError: a place is not there any more.
            UnavailableError: the cluster does not start.
            OSError: its folder cannot be written.
        """
        offer = find_offer(claim.workflow)
        placed = self._places.place(offer, claim.config)
        folder = self._work / FOLDER / claim.id
        scheduler = self._scheduler(offer)
        config = fill(offer, placed, folder, scheduler=scheduler, workers=self._workers)
        known = [] if scheduler is None else [(scheduler, "the cluster")]
        return Prepared(config, self._places.names([*placed.pairs, *known]), folder)

    def _scheduler(self, offer: Offer) -> str | None:
        """Choose the cluster; a training only needs one that has a GPU."""
        if offer.cluster == "workers":
            return self._cluster.address()
        if offer.cluster == "none" or not (self._cluster.is_given or _may_have_gpu()):
            return None
        address = self._cluster.address()
        try:
            known = self._cluster.ask()
        except SchedulerError:
            return None
        return address if known is not None and known.gpus else None


def _may_have_gpu() -> bool:
    return any(any(Path("/dev").glob(pattern)) for pattern in DEVICES)
