"""What is done to features before they leave a site: clipping, noise, and the sum of both.

Weights leave a site, too, and nothing is done to them, so none of this makes a training
differentially private; it is never called that (METHODS 9.4).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.ssl.bank import Bank


@dataclass(frozen=True, slots=True)
class FeaturePrivacy:
    """What a site does to its bank before it sends it.

    Attributes:
        clip: greatest length of a feature, whose length is 1; None does not clip.
        noise: standard deviation of the Gaussian noise that is added to every number of a feature,
            as a multiple of `clip`; 0 adds none.

    Raises:
        ValueError: noise without a bound, or values out of range.
    """

    clip: float | None = None
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip must be positive, got {self.clip}")
        if self.noise < 0:
            raise ValueError(f"noise must be at least 0, got {self.noise}")
        if self.noise and self.clip is None:
            raise ValueError("noise is a multiple of clip: give clip, too")

    def guard(self, bank: Bank, generator: torch.Generator) -> Bank:
        """Give the bank as it may leave.

        Args:
            bank: on the CPU.
            generator: of the CPU, which nobody else knows the seed of where noise matters.
        """
        features = bank.features
        if self.clip is not None:
            features = clip_rows(features, self.clip)
            if self.noise:
                drawn = torch.randn(features.shape, generator=generator)
                features = features + self.noise * self.clip * drawn
        return Bank(features, bank.partition)

    def epsilon(self, rounds: int, delta: float) -> float:
        """Give epsilon of one patch's features over all rounds, as if the encoder were public.

        The Gaussian mechanism with L2 sensitivity 2 clip (one feature replaced by any other) is
        rho-zCDP with rho = (2 clip)^2 / (2 (noise clip)^2) = 2 / noise^2; rounds add up, and
        rho-zCDP is (rho + 2 sqrt(rho ln(1/delta)), delta)-DP. M. Bun, T. Steinke, Concentrated
        Differential Privacy, TCC 2016, arXiv 1605.02658, propositions 1.3, 1.6 and lemma 1.7. The
        encoder was trained on the same patches and leaves without noise, so this bounds the
        features alone, and not what a training tells.

        Returns:
            Infinity where there is no noise.
        """
        if not self.noise:
            return math.inf
        rho = rounds * 2 / self.noise**2
        return rho + 2 * math.sqrt(rho * math.log(1 / delta))


def clip_rows(features: Tensor, most: float) -> Tensor:
    """Shorten rows that are longer than `most` to that length."""
    lengths = features.norm(dim=1, keepdim=True).clamp(min=1e-12)
    shorter: Tensor = features * (most / lengths).clamp(max=1)
    return shorter
