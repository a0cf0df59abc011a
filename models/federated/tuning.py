"""Fine-tuning of a U-Net on the few annotated volumes of sites, each alone or all together.

METHODS 9.6: local fine-tuning is each site on its own volumes; federated fine-tuning is FedAvg of
supervised training over all sites (our reading). The last weights are kept and no volume is held
out to choose by (our choice; the source keeps the best on validation).
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from segmentation_models_pytorch.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

from models.encoders.unet import UNetEncoder
from models.errors import LabelsError
from models.federated.averaging import State, average
from models.federated.site import site_seed
from models.federated.slices import OUTSIDE, Slices
from models.federated.unet import UNet
from models.federated.warp import apply_warps, draw_warps
from models.ssl.heads import drawn_from
from models.threads import side_by_side
from tiling.epochs import epoch_generator

VIEW_STREAM = 23
"""Sets the views of fine-tuning apart from its order."""
LAST_RATE = 0.1
"""Of the first, at the end of half a cosine: 5e-5 to 5e-6 (source, sister code)."""
JUDGED = 64
"""Slices that are segmented at a time."""

Loss = Literal["ce", "dice-ce"]
Tell = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """How a U-Net is fine-tuned.

    Attributes:
        classes: background among them.
        steps: of every site, in all.
        rounds: of federated fine-tuning, which share the steps.
        batch: slices of a step, 10 (source, sister code).
        lr: of Adam, 5e-5 (source, sister code), half a cosine to a tenth.
        weight_decay: 1e-5 (source, sister code).
        loss: cross-entropy (source, sister code), or that and the soft Dice loss of the classes but
            background, which a few hundred steps need where most pixels are background.
        bent: whether slices are mirrored, bent and turned as in pretraining (our choice).
        seed: of the decoder's weights, the order and the views.

    Raises:
        ValueError: a value is out of its range.
    """

    classes: int
    steps: int
    rounds: int = 10
    batch: int = 10
    lr: float = 5e-5
    weight_decay: float = 1e-5
    loss: Loss = "ce"
    bent: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if self.classes < 2 or not 1 <= self.rounds <= self.steps or self.batch < 1:
            raise ValueError(
                f"{self.classes} classes, {self.steps} steps in {self.rounds} rounds of batch "
                f"{self.batch}: there are at least 2 classes, and a step in every round"
            )

    def rate(self, step: int) -> float:
        """Give the rate of a step."""
        wave = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.lr * (LAST_RATE + (1 - LAST_RATE) * wave)

    def share(self, number: int) -> range:
        """Give the steps of a round."""
        edges = np.linspace(0, self.steps, self.rounds + 1).round().astype(int).tolist()
        return range(edges[number], edges[number + 1])


def new_unet(encoder: State | None, settings: TuneSettings, width: int) -> UNet:
    """Build a U-Net of one channel whose encoder has weights, or drawn ones.

    Args:
        encoder: weights of a `UNetEncoder`.
        settings: whose seed draws all other weights.
        width: of the encoder's first level.
    """
    with drawn_from(settings.seed):
        unet = UNet(UNetEncoder(1, width), settings.classes)
    if encoder is not None:
        unet.encoder.load_state_dict(dict(encoder))
    return unet.to(memory_format=torch.channels_last)


def tune_locally(unet: UNet, slices: Slices, settings: TuneSettings, site: str, tell: Tell) -> UNet:
    """Train a U-Net in place on the annotated slices of one site.

    Raises:
        LabelsError: no slice has a label map.
    """
    _fit(unet, slices, settings, site, range(settings.steps), tell)
    return unet


def tune_together(
    unet: UNet, sites: Mapping[str, Slices], settings: TuneSettings, tell: Tell
) -> UNet:
    """Train a U-Net in place by FedAvg over the annotated slices of all sites, by name.

    Adam begins anew in every round (our choice), as nothing but weights is exchanged.

    Raises:
        LabelsError: a site has no slice with a label map.
    """
    names, device = sorted(sites), next(unet.parameters()).device
    for number in range(settings.rounds):
        steps = settings.share(number)

        def tuned(name: str, steps: range = steps) -> State:
            own = copy.deepcopy(unet)
            _fit(own, sites[name], settings, name, steps, lambda _: None)
            return own.state_dict()

        found = list(side_by_side(tuned, names, device))
        unet.load_state_dict(average(found, [len(sites[name]) for name in names]))
        tell((number + 1) / settings.rounds)
    return unet


def loss_of(logits: Tensor, masks: Tensor, kind: Loss) -> Tensor:
    """Give the mean loss of pixels whose class is known.

    The soft Dice loss is 1 - 2 sum(p t) / (sum p + sum t) over the batch, the mean of the classes
    but background; one that the batch lacks adds 0 (F. Milletari et al., V-Net, 3DV 2016).

    Args:
        logits: `(B, classes, H, W)`.
        masks: classes, int64 `(B, H, W)`; 255 where nobody said.
        kind: cross-entropy, or the sum of both.
    """
    loss = functional.cross_entropy(logits, masks, ignore_index=OUTSIDE)
    if kind == "ce":
        return loss
    classes = list(range(1, logits.shape[1]))
    dice: Tensor = DiceLoss("multiclass", classes, ignore_index=OUTSIDE)(logits, masks)
    return loss + dice


@torch.no_grad()
def dice_of(unet: UNet, slices: Slices, classes: int) -> NDArray[np.float64]:
    """Give the Dice of each volume and each class but background, `(volumes, classes - 1)`.

    2 |A and B| / (|A| + |B|) over all voxels of a volume that lie on the canvas; NaN where the
    truth has none of the class, whatever is said, so that all methods are judged on the same.
    """
    unet.eval()
    parts = range(0, len(slices), JUDGED)
    found = torch.cat([_segment(unet, slices.images[at : at + JUDGED]) for at in parts])
    known = slices.masks != OUTSIDE
    scores = np.full((len(slices.names), classes - 1), np.nan)
    for volume in range(len(slices.names)):
        inside = known & (slices.volume == volume)[:, None, None]
        truth, said = slices.masks[inside], found[inside]
        for one in range(1, classes):
            both, true = int(((truth == one) & (said == one)).sum()), int((truth == one).sum())
            if true:
                scores[volume, one - 1] = 2 * both / (true + int((said == one).sum()))
    return scores


def _segment(unet: UNet, images: Tensor) -> Tensor:
    device = next(unet.parameters()).device
    logits: Tensor = unet(images.to(device))
    return logits.argmax(dim=1).cpu()


def _fit(
    unet: UNet,
    slices: Slices,
    settings: TuneSettings,
    site: str,
    steps: Sequence[int],
    tell: Tell,
) -> None:
    seed = site_seed(settings.seed, site)
    order = _annotated(slices)
    device = next(unet.parameters()).device
    optimizer = torch.optim.Adam(
        unet.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True
    )
    unet.train()
    for step in steps:
        for group in optimizer.param_groups:
            group["lr"] = settings.rate(step)
        images, masks = _drawn(slices, order, settings, seed, step)
        logits = unet(images.to(device, memory_format=torch.channels_last))
        loss = loss_of(logits, masks.to(device), settings.loss)
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tell((step + 1) / settings.steps)


def _annotated(slices: Slices) -> Tensor:
    rows = torch.nonzero((slices.masks != OUTSIDE).flatten(1).any(dim=1))[:, 0]
    if not len(rows):
        raise LabelsError(
            "no volume has a label map here; import the volumes with theirs (`microtome import "
            "volumes` with a column label)"
        )
    return rows


def _drawn(
    slices: Slices, rows: Tensor, settings: TuneSettings, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """Give images and masks of a step; each pass shuffles anew, and bends both alike if at all."""
    size = min(settings.batch, len(rows))
    per_epoch = len(rows) // size
    epoch, number = divmod(step, per_epoch)
    shuffled = epoch_generator(seed, epoch).permutation(len(rows))
    chosen = rows[torch.from_numpy(shuffled[number * size : (number + 1) * size])]
    if not settings.bent:
        return slices.images[chosen], slices.masks[chosen].long()
    warps = draw_warps(size, epoch_generator(seed + (VIEW_STREAM << 32), step))
    images = apply_warps(slices.images[chosen], warps)
    inner = slices.masks[chosen].float()[:, None] - OUTSIDE  # so that beyond the canvas is OUTSIDE
    masks = apply_warps(inner, warps, nearest=True) + OUTSIDE
    return images, masks[:, 0].round().long()
