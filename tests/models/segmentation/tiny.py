"""Small trunks, networks and views for the tests of segmentation."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.segmentation.classifier import Classifier
from models.segmentation.trunk import Trunk
from models.training.method import Clock, Views

CLASSES, SIDE = 3, 16


class TinyTrunk(Trunk):
    """Three convolutions, whose maps are the taps; the last after a ReLU."""

    def __init__(self, seed: int = 0, *, linear: bool = False) -> None:
        super().__init__(("one", "two", "three"), (4, 5, 6))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.one = nn.Conv2d(3, 4, 3, stride=2, padding=1)
            self.two = nn.Conv2d(4, 5, 3, padding=1)
            self.three = nn.Conv2d(5, 6, 3, padding=1)
        self.linear = linear

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        one = self.one(images)
        two = self.two(one if self.linear else one.relu())
        three = self.three(two if self.linear else two.relu())
        return one, two, three if self.linear else three.relu()


class TinySegmenter(nn.Module):
    """An encoder of two maps and a head, as the library's networks are built."""

    def __init__(self, classes: int = CLASSES, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.encoder = TinyTrunk(seed)
            self.head = nn.Conv2d(6, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.head(self.encoder(images)[-1])
        return nn.functional.interpolate(logits, scale_factor=2, mode="nearest")


def classifier(classes: int = CLASSES, *, linear: bool = False, seed: int = 0) -> Classifier:
    return Classifier(TinyTrunk(seed, linear=linear), classes, seed=seed).eval()


def images(count: int, seed: int = 0, side: int = SIDE) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def clock(epoch: int = 0) -> Clock:
    return Clock(step=epoch * 10, steps=1000, epoch=epoch, epochs=100)


def views(
    count: int, *, labels: Sequence[Sequence[int]] | None = None, masks: Tensor | None = None
) -> Views:
    label = None if labels is None else torch.tensor(labels, dtype=torch.int8)
    order = torch.arange(count)
    return Views((images(count),), order, order, label, masks)


def part(whole: Views, rows: slice) -> Views:
    return Views(
        tuple(view[rows] for view in whole.images),
        whole.slide[rows],
        whole.patch[rows],
        None if whole.label is None else whole.label[rows],
        None if whole.masks is None else whole.masks[rows],
    )
