"""The gate: classes that stage 1 does not see in a patch are removed from stage 2's answer."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

GateOn = Literal["probabilities", "logits"]


@dataclass(frozen=True, slots=True)
class Gate:
    """Removes classes whose probability in the patch is at most epsilon (METHODS 10.5).

    At inference only. Differs from the source: by default what is removed can never be the answer;
    `logits` is the source's product of logits and 0, in which a removed class wins wherever all
    others are negative.

    Attributes:
        enabled: else the answer of stage 2 stands.
        on: probabilities (our choice, and the paper's words), or logits (source).
        epsilon: .1 (source).
    """

    enabled: bool = True
    on: GateOn = "probabilities"
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        """Refuse an epsilon that is no probability."""
        if not 0 <= self.epsilon < 1:
            raise ValueError(f"epsilon must be in [0, 1), got {self.epsilon}")
        if self.on not in ("probabilities", "logits"):
            raise ValueError(f"on must be probabilities or logits, got {self.on!r}")

    def probabilities(self, logits: Tensor, presence: Tensor | None) -> Tensor:
        """Give class probabilities of pixels, float32 (B, C, H, W), 0 for what is removed.

        They are those of stage 2, so what is left of a pixel need not add up to 1: averages over
        windows then trust a window less where most of it was removed. On logits they are a softmax
        of the source's products, and a removed class may have one.

        Args:
            logits: of stage 2, (B, C, H, W).
            presence: probability of each class in the patch by stage 1, (B, C); None only where the
                gate is off.
        """
        kept = self._kept(logits, presence)
        if self.on == "logits":
            return torch.softmax(logits.float() * kept, dim=1)
        return torch.softmax(logits.float(), dim=1) * kept

    def classes(self, logits: Tensor, presence: Tensor | None) -> Tensor:
        """Give the class of each pixel, uint8 (B, H, W); arguments as of `probabilities`.

        Where all classes of a patch are removed it is C, which stands for none (our choice; on
        logits it is 0, as in the source).
        """
        kept = self._kept(logits, presence)
        if self.on == "logits":
            return (logits.float() * kept).argmax(dim=1).to(torch.uint8)
        scores = torch.where(kept, logits.float(), -torch.inf)
        found = scores.argmax(dim=1).to(torch.uint8)
        return torch.where(kept.any(dim=1), found, logits.shape[1])

    def _kept(self, logits: Tensor, presence: Tensor | None) -> Tensor:
        """Say which classes are kept, bool (B, C, 1, 1)."""
        if not self.enabled:
            return torch.ones_like(logits[:, :, :1, :1], dtype=torch.bool)
        if presence is None or presence.shape != logits.shape[:2]:
            given = None if presence is None else tuple(presence.shape)
            raise ValueError(
                f"the gate needs a probability per patch and class, {tuple(logits.shape[:2])}, got "
                f"{given}; give stage 1's, or switch the gate off"
            )
        return (presence > self.epsilon)[:, :, None, None]
