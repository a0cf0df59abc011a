"""What student and teacher are alike: an encoder with a DINO head and a class head."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.distilling.heads import DinoHead, class_head
from models.distilling.settings import DistlSettings
from models.encoders import Encoder
from models.ssl.heads import drawn_from


class Seen(NamedTuple):
    """What came of views of b patches.

    Attributes:
        embedded: of the first view, (b, D).
        outputs: of the DINO head, one row of V views, (V, b, K); None where it was not asked.
        logits: of the class head, view after view, (G b, C): of the G whole views alone.
    """

    embedded: Tensor
    outputs: Tensor | None
    logits: Tensor


class Branch(nn.Module):
    """An encoder with both heads.

    Args:
        encoder: takes views of all sizes.
        classes: outputs of the class head.
        settings: widths of the heads.
        seed: of the heads' weights.

    Attributes:
        encoder: trained and kept.
        dino: head of self-supervision.
        classes: head of the labels.
    """

    def __init__(
        self, encoder: Encoder, classes: int, settings: DistlSettings, *, seed: int = 0
    ) -> None:
        super().__init__()
        dim = encoder.card.dim
        self.encoder = encoder
        with drawn_from(seed):
            self.dino = DinoHead(dim, settings.hidden, settings.features, settings.prototypes)
            self.classes = class_head(dim, settings.class_hidden, classes)

    def forward(
        self, whole: Sequence[Tensor], local: Sequence[Tensor] = (), *, distils: bool = True
    ) -> Seen:
        """Look at views; those of one size go through the network together.

        Args:
            whole: views that are classified, each (b, 3, H, W).
            local: further views, all of another size.
            distils: also ask the DINO head.
        """
        count = len(whole[0])
        embedded = [self.encoder(torch.cat(tuple(views))) for views in (whole, local) if views]
        logits = self.classes(embedded[0])
        outputs = None
        if distils:
            outputs = self.dino(torch.cat(embedded)).view(len(whole) + len(local), count, -1)
        return Seen(embedded[0][:count], outputs, logits)
