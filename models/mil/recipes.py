"""The table of models: how each is built, and how it is trained unless told otherwise.

Another model is one more entry of `RECIPES` and of `BUILT_BY`.
"""

from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import torch

from models.mil.model import MilModel
from models.mil.settings import FitSettings, ModelName, ModelSettings


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model's own settings."""

    model: ModelSettings
    fit: FitSettings

    def changed(self, model: dict[str, Any], fit: dict[str, Any]) -> "Recipe":
        """Give the recipe with other settings; None leaves one as it is."""
        asked = [{k: v for k, v in part.items() if v is not None} for part in (model, fit)]
        return Recipe(replace(self.model, **asked[0]), replace(self.fit, **asked[1]))


_CLAM_FIT = FitSettings(epochs=200, min_epochs=50)

RECIPES: dict[ModelName, Recipe] = {
    "abmil": Recipe(ModelSettings("abmil"), FitSettings()),
    "clam-sb": Recipe(ModelSettings("clam-sb", attention_dim=256), _CLAM_FIT),
    "clam-mb": Recipe(ModelSettings("clam-mb", attention_dim=256), _CLAM_FIT),
    # its weight decay is that of its training library, decoupled (our choice: the text is silent)
    "stamp-transformer": Recipe(
        ModelSettings("stamp-transformer", dropout=0.0),
        FitSettings(
            weight_decay=0.01,
            decoupled=True,
            epochs=32,
            patience=16,
            min_delta=0.01,
            monitor="auroc",
            batch=64,
            max_patches=512,
            schedule="one-cycle",
        ),
    ),
    "mean": Recipe(ModelSettings("mean", dropout=0.0), FitSettings(lr=1e-3)),
}


BUILT_BY: dict[ModelName, tuple[str, str]] = {
    "abmil": ("models.mil.abmil", "Abmil"),
    "clam-sb": ("models.mil.clam", "Clam"),
    "clam-mb": ("models.mil.clam", "Clam"),
    "stamp-transformer": ("models.mil.transformer", "StampTransformer"),
    "mean": ("models.mil.mean", "Mean"),
}
"""Module and class of each model, imported when asked for: torchmil takes seconds."""


def model_class(name: ModelName) -> type[MilModel]:
    """Import the class of a model."""
    module, kind = BUILT_BY[name]
    found: type[MilModel] = getattr(import_module(module), kind)
    return found


def build_model(settings: ModelSettings, dim: int, classes: int, seed: int) -> MilModel:
    """Build a model with fresh weights; the same seed gives the same ones.

    Args:
        settings: of the model.
        dim: length of an embedding.
        classes: number of them, at least two.
        seed: of the weights.
    """
    if classes < 2:
        raise ValueError(f"a classifier needs at least two classes, got {classes}")
    kind = model_class(settings.name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(dim, classes, settings)


def model_settings(document: dict[str, Any]) -> ModelSettings:
    """Read settings from JSON values.

    Raises:
        ValueError: they are of no known model, or of a later version.
    """
    if document.get("name") not in RECIPES:
        raise ValueError(f"no model {document.get('name')!r}; there are: {', '.join(RECIPES)}")
    try:
        return ModelSettings(**document)
    except TypeError as err:
        raise ValueError(f"unknown settings of a model: {err}") from err
