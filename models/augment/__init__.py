"""Random views of patches, made in batches on the device that holds them (METHODS 2.4, 6, 7).

What is random is drawn on the CPU, for all patches of a step; the pixels follow it wherever they
are. Knows no archive, no network and no rank.
"""

from models.augment.opening import open_preset
from models.augment.params import Params, ViewParams
from models.augment.preset import Preset
from models.augment.table import PRESETS

__all__ = ["PRESETS", "Params", "Preset", "ViewParams", "open_preset"]
