"""Where a site's views come from: slices of volumes in memory, or patches of an archive."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.augment import open_preset
from models.data import PatchDataset, iterate_batches
from models.encoders import Encoder, EncoderCard
from models.errors import DataError
from models.federated.plan import Plan
from models.federated.slices import Slices
from models.federated.warp import MakeViews, four_turns, two_views
from models.training.feed import AUGMENT_STREAM, Feed, Sampling, Share
from models.training.method import Views
from tiling.epochs import Indices, epoch_generator

PLAIN_BATCH = 64
"""Patches that a bank is made of at a time."""


class Source(Protocol):
    """Views of a site's patches, the same ones however a run is resumed."""

    @property
    def batch(self) -> int:
        """Patches of a step."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass."""

    @property
    def patches(self) -> int:
        """Patches that take part."""

    @property
    def partition(self) -> NDArray[np.int64]:
        """Ordered class of each patch, `(N,)`; -1 unknown."""

    def steps(self, first: int, last: int) -> Iterator[Views]:
        """Give the views of steps `first` to `last - 1`, on the device."""

    def plain(self, rows: Indices) -> Iterator[Tensor]:
        """Give images as they are, normalised, in the order of `rows`, in batches."""


class SliceSource:
    """Views of slices.

    Args:
        slices: of the site.
        plan: of the run.
        seed: of this site's order and augmentation.
        device: where views are made.
    """

    def __init__(self, slices: Slices, plan: Plan, *, seed: int, device: torch.device) -> None:
        self._slices, self._seed, self._device = slices, seed, device
        self.partition = slices.partition.numpy()
        rows = taking_part(self.partition, plan)
        volumes = slices.volume.numpy()[rows]
        self._sampling = Sampling(rows, volumes, min(plan.batch, len(rows)), seed=seed)
        self._make: MakeViews = four_turns if plan.method == "rotnet" else two_views

    @property
    def batch(self) -> int:
        """Patches of a step."""
        return self._sampling.batch

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass."""
        return self._sampling.steps_per_epoch

    @property
    def patches(self) -> int:
        """Patches that take part."""
        return len(self._sampling.rows)

    def steps(self, first: int, last: int) -> Iterator[Views]:
        """Give the views of steps `first` to `last - 1`, on the device."""
        for step in range(first, last):
            epoch, number = divmod(step, self.steps_per_epoch)
            rows = torch.from_numpy(self._sampling.epoch(epoch)[number])
            rng = epoch_generator(self._seed + (AUGMENT_STREAM << 32), step)
            yield self._views(rows, rng)

    def plain(self, rows: Indices) -> Iterator[Tensor]:
        """Give images as they are, normalised, in the order of `rows`, in batches."""
        for at in range(0, len(rows), PLAIN_BATCH):
            part = torch.from_numpy(rows[at : at + PLAIN_BATCH])
            yield _last(self._slices.images[part].to(self._device))

    def _views(self, rows: Tensor, rng: np.random.Generator) -> Views:
        slices, device = self._slices, self._device
        made = self._make(slices.images[rows].to(device), slices.extent[rows], rng)
        return Views(
            tuple(_last(view) for view in made),
            slices.volume[rows].to(device),
            rows.to(device),
            None,
            None,
            slices.partition[rows].to(device),
        )


class PatchSource:
    """Views of 8-bit RGB patches, by the presets of `models.augment`.

    Args:
        patches: of the site.
        plan: of the run.
        encoder: whose card says how images are prepared.
        seed: of this site's order and augmentation.
        device: where views are made.
    """

    def __init__(
        self,
        patches: PatchDataset,
        plan: Plan,
        encoder: Encoder,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        _require_rgb(patches)
        self._patches, self._encoder = patches, encoder
        known = patches.partition
        self.partition = np.full(len(patches), -1) if known is None else known.astype(np.int64)
        rows = taking_part(self.partition, plan)
        sampling = Sampling(rows, patches.slide_of[rows], min(plan.batch, len(rows)), seed=seed)
        preset = _preset(plan, encoder.card)
        self._feed = Feed(patches, sampling, preset, Share(0, 1, 1), device)

    @property
    def batch(self) -> int:
        """Patches of a step."""
        return self._feed.sampling.batch

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass."""
        return self._feed.sampling.steps_per_epoch

    @property
    def patches(self) -> int:
        """Patches that take part."""
        return len(self._feed.sampling.rows)

    def steps(self, first: int, last: int) -> Iterator[Views]:
        """Give the views of steps `first` to `last - 1`, on the device."""
        for step, batch in enumerate(self._feed.batches(first, last), first):
            yield from self._feed.views(batch, step)

    def plain(self, rows: Indices) -> Iterator[Tensor]:
        """Give images as they are, normalised, in the order of `rows`, in batches."""
        for batch in iterate_batches(self._patches, rows, batch_size=PLAIN_BATCH):
            yield _last(self._encoder.prepare(batch.pixels.to(self._feed.device)))


def taking_part(partition: NDArray[np.int64], plan: Plan) -> Indices:
    """Give the patches that a method learns from: FCL's have a known position.

    Raises:
        DataError: none has.
    """
    rows = np.arange(len(partition), dtype=np.int64)
    if plan.method == "fcl":
        rows = rows[partition >= 0]
    if not len(rows):
        raise DataError(
            "FCL learns from positions, and these patches have no partition; volumes get one when "
            "they are imported, slides by `microtome partition`"
        )
    return rows


def _require_rgb(patches: PatchDataset) -> None:
    height, width, channels = patches.patch_shape
    if patches.dtype != np.uint8 or channels != 3 or height != width:
        raise DataError(
            "a federated pretraining on patches takes square 8-bit RGB; these are "
            f"{patches.dtype} {patches.patch_shape}; slices of volumes need --data volumes"
        )


def _preset(plan: Plan, card: EncoderCard) -> Any:
    options: dict[str, Any] = {"side_px": card.input_px, "mean": card.mean, "std": card.std}
    turned = plan.method == "rotnet"
    return open_preset("rotation" if turned else "simclr", **options, d4=not turned)


def _last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)
