"""What is asked of a run that maps slides, and how its workers run. Plain values, no torch."""

from dataclasses import dataclass
from typing import Any, Literal

from models.embedding.engine import Device
from models.segmentation.card import TissueCard
from tiling.maps import SHARD_BYTES
from tiling.store import PatchStore

GateOn = Literal["probabilities", "logits"]
Precision = Literal["float32", "bf16"]

PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")
TOLERANCE = 0.03
"""Relative difference up to which a level of a slide is used as it is, as `tile` has it."""


@dataclass(frozen=True)
class GateSpec:
    """What becomes of classes that stage 1 does not see in a window; see `Gate`."""

    on: GateOn = "probabilities"
    epsilon: float = 0.1


@dataclass(frozen=True)
class MapEngine:
    """How a worker runs; the same in all tasks of a run.

    Attributes:
        segmenter: path of its file.
        classifier: of the gate's; None where the gate is off.
        window_px: side of the windows.
        device: where; auto takes a GPU if there is one.
        processes: workers on one machine, which share its cores.
        batch: windows at a time; None chooses.
    """

    segmenter: str
    classifier: str | None
    window_px: int | None = None
    device: Device = "auto"
    processes: int = 1
    batch: int | None = None


@dataclass(frozen=True)
class MapRequest:
    """Which maps are asked for.

    Attributes:
        name: of the map in the archive.
        card: of the segmenter.
        classifier: card of the gate's; None where the gate is off.
        gate: how it acts; None where it is off.
        mpp: microns per pixel of the map.
        window_px, overlap_px: of its windows.
        precision: number format of the computation.
        forced: what was let through, in words.
        overwrite: replace other maps of this name.
        shard_bytes: see `MapPlan`.
    """

    name: str
    card: TissueCard
    classifier: TissueCard | None
    gate: GateSpec | None
    mpp: float
    window_px: int
    overlap_px: int
    precision: Precision = "float32"
    forced: tuple[str, ...] = ()
    overwrite: bool = False
    shard_bytes: int = SHARD_BYTES // 2

    def model(self, store: PatchStore) -> dict[str, Any]:
        """Say what makes the map of a slide: models, resolution, the slide and its tissue.

        Two maps of which this, window and overlap are the same are the same.
        """
        known = store.attributes
        return {
            "card": self.card.model_dump(mode="json"),
            "classifier": self.classifier and _brief(self.classifier),
            "gate": self.gate and {"on": self.gate.on, "epsilon": self.gate.epsilon},
            "mpp": self.mpp,
            "precision": self.precision,
            "forced": list(self.forced),
            "slide": {name: known["source"][name] for name in ("size", "quick_hash")}
            | {"mpp": [known["mpp"]["x"], known["mpp"]["y"]], "icc": known["icc"]},
            "tissue": {
                key: value for key, value in known["checksums"].items() if key.startswith(TISSUE)
            },
        }


TISSUE = "tissue_mask/"


def _brief(card: TissueCard) -> dict[str, str]:
    return {"name": card.name, "weights_sha256": card.weights_sha256}
