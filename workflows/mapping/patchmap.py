"""`microtome map --encoder --probe`: a class for every patch, of embeddings that are stored."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.errors import UsageError
from workflows.extras import needs
from workflows.mapping.slides import each_slide, open_archive, slide_names
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback

if TYPE_CHECKING:
    from models.bags.bag import Bag
    from models.probe import LinearProbe, ProbeCard
    from tiling.lease import Leases
    from tiling.store import Archive
    from tiling.tissuemap import Legend
    from workflows.mapping.config import MapConfig


def run_patch_map(config: "MapConfig", progress: ProgressCallback) -> Outcome:
    """Map every slide by its embeddings, or write the attention that is stored as files.

    Raises:
        UsageError: an option is missing, or there is no such slide.
        StoreError: there is no archive.
        WeightsError: there is no such probe, or it is damaged.
        BagError: no slide has such embeddings.
    """
    if config.attention is not None:
        from workflows.mapping.attention import run_attention

        return run_attention(config, progress)
    archive = open_archive(config)
    with needs("models"):
        work = _Work.of(config, archive)
    names = slide_names(config, archive)
    work.require_embeddings(names)
    from tiling.lease import Leases

    with Leases(archive.storage) as leases:
        return each_slide(config, names, progress, lambda name: work.slide(name, leases), work.name)


@dataclass(frozen=True)
class _Work:
    """What is the same for all slides."""

    config: "MapConfig"
    archive: "Archive"
    probe: "LinearProbe"
    card: "ProbeCard"
    legend: "Legend"
    encoder_id: str

    @classmethod
    def of(cls, config: "MapConfig", archive: "Archive") -> "_Work":
        from models.segmentation.card import usual_colours
        from tiling.tissuemap import Legend
        from workflows.probing.reading import read_probe

        if config.probe is None:
            raise UsageError(
                "--encoder needs a --probe: the folder of a run of microtome probe, or its file"
            )
        probe, card = read_probe(config.probe, config.encoder)
        legend = Legend(card.classes, usual_colours(card.classes))
        return cls(config, archive, probe, card, legend, config.encoder or card.encoder_id)

    @property
    def name(self) -> str:
        """Name of the map."""
        return self.config.name or f"probe-{self.encoder_id}"

    def require_embeddings(self, names: list[str]) -> None:
        """Refuse an archive of which no slide has the embeddings.

        Raises:
            BagError: there are none.
        """
        from models.errors import BagError
        from tiling.embeddings import embedding_ids

        known: set[str] = set()
        for store in self.archive.sound_stores(names):
            known |= set(embedding_ids(store))
            if self.encoder_id in known:
                return
        raise BagError(
            f"{self.archive.location} has no embeddings of {self.encoder_id!r}; "
            f"there are: {', '.join(sorted(known)) or 'none'}; make them with: microtome embed"
        )

    def slide(self, slide_id: str, leases: "Leases") -> dict[str, Any]:
        """Map one slide, and write its files."""
        from models.bags.bag import Bag
        from tiling.errors import ConflictError
        from tiling.maps import map_lease

        bag = Bag(self.archive[slide_id], self.encoder_id)
        if not len(bag):
            return {"state": "skipped", "patches": 0, "why": "it has no readable patch"}
        lease = map_lease(slide_id, self.name)
        if not leases.acquire(lease):
            raise ConflictError(f"another run is mapping {slide_id}; try again when it is done")
        try:
            return self._map(bag, partial(leases.check, lease))
        finally:
            leases.release(lease)

    def _map(self, bag: "Bag", check: Callable[[], None]) -> dict[str, Any]:
        from models.probe.classmap import plan_classmap, write_classmap
        from tiling.mapwriter import MapWriter
        from workflows.mapping.exporting import Job, export_slide

        planned = plan_classmap(bag, self.legend, self.card, force=self.config.force)
        overwrite = self.config.overwrite
        writer = MapWriter(bag.store, self.name, planned.map, overwrite=overwrite)
        state = "skipped" if writer.is_done else "done"
        if not writer.is_done:
            write_classmap(planned, self.probe, writer, check)
        frame = planned.map.frame
        known = {"state": state, "patches": len(bag), "shape": [frame.height_px, frame.width_px]}
        if self.config.out is None:
            return known
        out = str(Path(self.config.out).expanduser())
        job = Job(self.archive.location, self.name, out, self.config.formats)
        return known | export_slide(job, bag.slide_id)[1]
