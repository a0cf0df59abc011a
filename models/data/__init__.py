"""Patches of archives for training: batches of pixels as they are stored, with what is known."""

from models.data.batch import Batch
from models.data.dataset import PatchDataset
from models.data.joined import JoinedPatches
from models.data.loading import iterate_batches
from models.data.slides import SlideInfo

__all__ = ["Batch", "JoinedPatches", "PatchDataset", "SlideInfo", "iterate_batches"]
