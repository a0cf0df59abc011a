"""The trained models that a command of segmentation asks, found by what was asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import WeightsError
from models.segmentation.card import TissueCard
from models.segmentation.evaluating import Stages, Way
from models.segmentation.gate import Gate
from models.segmentation.model import TissueModel, open_model, read_tissue_card
from models.segmentation.places import find_beside, find_model
from workflows.errors import UsageError


@dataclass(frozen=True)
class Asked:
    """What a person says of the models.

    Attributes:
        model: place of a segmenter, or of a classifier alone.
        classifier: place of the classifier of a segmenter; None looks beside the segmenter.
        gate: whether to score with the gate; None where there is a classifier.
        cam: whether to score the maps of a segmenter's classifier too.
        rule: of the gate.
    """

    model: str
    classifier: str | None
    gate: bool | None
    cam: bool
    rule: Gate


@dataclass(frozen=True)
class Opened:
    """Stages, the file of each by role, and what a person should know."""

    stages: Stages
    files: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def card(self) -> TissueCard:
        """Of the model that decides."""
        return self.stages.models[0].card

    def document(self) -> dict[str, Any]:
        """Give what is recorded of the models, by role."""
        return {model.card.role: self._about(model) for model in self.stages.models}

    def _about(self, model: TissueModel) -> dict[str, Any]:
        card = model.card
        kept = {"name", "architecture", "encoder", "mpp", "patch_px", "white", "weights_sha256"}
        return card.model_dump(mode="json", include=kept) | {"file": self.files[card.role]}


def open_stages(asked: Asked) -> Opened:
    """Open what was asked for.

    Raises:
        UsageError: options that make no sense together.
        WeightsError: a model is missing, damaged or of another kind.
        MismatchError: classifier and segmenter know other classes.
    """
    path = _file_of(asked.model)
    if read_tissue_card(path).role == "classifier":
        return _classifier_alone(asked, path)
    segmenter, file = open_model(path, "segmenter"), _classifier_of(asked, path)
    files, classifier = {"segmenter": str(path)}, None
    if file is not None:
        classifier, files["classifier"] = open_model(file, "classifier"), str(file)
    gated = classifier is not None and asked.gate is not False
    ways: list[Way] = ["segmenter"]
    ways = ["cam", *ways] if asked.cam else ways
    ways = [*ways, "gated"] if gated else ways
    notes = () if gated or asked.gate is False else (f"no classifier beside {path}: no gate",)
    return Opened(Stages(tuple(ways), classifier, segmenter, asked.rule), files, notes)


def _file_of(place: str) -> Path:
    """Find the segmenter of a place, or else its classifier."""
    try:
        return find_model(place, "segmenter")
    except WeightsError:
        beside = find_beside(place)
        if beside is None:
            raise
        return beside


def _classifier_alone(asked: Asked, path: Path) -> Opened:
    if asked.classifier is not None or asked.gate:
        option = "--gate" if asked.classifier is None else "--classifier"
        raise UsageError(f"{option} goes with a segmenter, and {path} is a classifier")
    model = open_model(path, "classifier")
    return Opened(Stages(("cam",), model), {"classifier": str(path)})


def _classifier_of(asked: Asked, segmenter: Path) -> Path | None:
    if asked.classifier is not None:
        return find_model(asked.classifier, "classifier")
    if asked.gate is False and not asked.cam:
        return None
    found = find_beside(segmenter)
    if found is None and (asked.gate or asked.cam):
        option = "--gate" if asked.gate else "--cam"
        raise UsageError(
            f"{option} needs a classifier, and none lies beside {segmenter}; give --classifier"
        )
    return found
