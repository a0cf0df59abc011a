"""A patch-level tissue map: what a linear probe says of a slide's stored embeddings."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bags.bag import Bag
from models.bags.lattice import Lattice, lay_lattice
from models.errors import NumericsError
from models.probe.weights import LinearProbe, ProbeCard
from tiling.mapplan import MapPlan
from tiling.maps import TILE_PX
from tiling.mapwriter import MapWriter
from tiling.stitching import Layout
from tiling.tissuemap import Legend
from tiling.windows import WindowGrid

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ClassMapPlan:
    """The map of one slide that is to be made.

    Attributes:
        bag: its embeddings.
        lattice: where its patches lie.
        map: what will be written.
    """

    bag: Bag
    lattice: Lattice
    map: MapPlan


def plan_classmap(
    bag: Bag, legend: Legend, probe: ProbeCard, *, force: bool = False
) -> ClassMapPlan:
    """Plan the map of a slide.

    Args:
        bag: the slide's embeddings; unreadable patches have no class.
        legend: names and colours of the probe's classes.
        probe: what it is.
        force: take patches of another resolution; is recorded.

    Raises:
        MismatchError: the embeddings are not what the probe learned from.
        DataError: the patches make no map.
    """
    mpp = None if bag.mpp_effective is None else sum(bag.mpp_effective) / 2
    forced = probe.require_match(bag.card, mpp, force=force)
    lattice = lay_lattice(bag)
    height, width = lattice.frame.height_px, lattice.frame.width_px
    grid = WindowGrid(height, width, min(TILE_PX, max(height, width)), 0)
    layout = Layout(grid, len(legend.names))
    plan = MapPlan(legend, lattice.frame, layout, _model(bag, probe, forced))
    return ClassMapPlan(bag, lattice, plan)


def _model(bag: Bag, probe: ProbeCard, forced: list[str]) -> dict[str, Any]:
    return {
        "kind": "linear probe",
        "probe": probe.model_dump(mode="json"),
        "encoder": bag.encoder_id,
        "encoder_identity": bag.card.identity,
        "embeddings_checksum": bag.embedding_attributes.get("checksum"),
        "unreadable": bag.n_unreadable,
        "forced": forced,
    }


def write_classmap(
    planned: ClassMapPlan,
    probe: LinearProbe,
    writer: MapWriter,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Ask the probe about every patch, and write the map.

    Scores of all patches are held in memory, 4 C bytes each; embeddings block by block.

    Args:
        planned: the map.
        probe: what says the classes.
        writer: of this very plan.
        check: raises where the slide is not ours any more; is called right before the commit.

    Raises:
        NumericsError: an embedding is NaN or infinite.
        StoreError: the map cannot be written.
    """
    scores, grid = _scores(planned.bag, probe), planned.map.layout.grid
    for window in writer.todo:
        (corner,) = grid.corners(np.array([window]))
        writer.add(window, _window(scores, planned.lattice, corner[::-1], grid.window_px))
    check()
    writer.finish()


def _scores(bag: Bag, probe: LinearProbe) -> Floats:
    parts = [probe.scores(rows) for rows in _finite(bag)]
    return np.concatenate(parts) if parts else np.zeros((0, len(probe.bias)), np.float32)


def _finite(bag: Bag) -> Iterator[NDArray[np.floating[Any]]]:
    done = 0
    for rows in bag.blocks():
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            patch = int(bag.rows[done + bad[0]])
            raise NumericsError(
                f"the embedding of patch {patch} of {bag.slide_id} is NaN or infinite; embed again"
            )
        done += len(rows)
        yield rows


def _window(scores: Floats, lattice: Lattice, corner: NDArray[np.int64], side_px: int) -> Floats:
    """Probabilities (C, P, P) of the window at row, column; 0 where no patch is."""
    places = lattice.row_col - corner
    inside = ((places >= 0) & (places < side_px)).all(axis=1)
    window = np.zeros((scores.shape[1], side_px, side_px), np.float32)
    rows, columns = places[inside].T
    window[:, rows, columns] = scores[inside].T
    return window
