"""What is done to features before they leave a site: clipping, noise, and the sum of both.

Weights leave a site, too, and nothing is done to them, so none of this makes a training
differentially private; it is never called that (METHODS 9.4).
"""

import math
import os
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from models.ssl.bank import Bank

DELTA = 1e-5
"""That the budget of noise is told at (our choice)."""


@dataclass(frozen=True, slots=True)
class FeaturePrivacy:
    """What a site does to its bank before it sends it.

    Attributes:
        clip: greatest length of a feature, whose length is 1; None does not clip. By itself it
            hides nothing: who receives a feature gives it length 1 again.
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

    def guard(self, bank: Bank) -> Bank:
        """Give the bank as it may leave: clipped, with noise, in half precision.

        Its order is that of tags and of the numbers themselves, so it tells nothing of which
        volume or slide an entry is from.

        Args:
            bank: on the CPU.
        """
        features = bank.features
        if self.clip is not None:
            features = clip_rows(features, self.clip)
            if self.noise:
                features = features + self.noise * self.clip * secret_normal(features.shape)
        return in_own_order(Bank(features.to(torch.float16), bank.partition))

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


def secret_normal(shape: torch.Size) -> Tensor:
    """Draw from the standard normal, float32, by the system's secure random bytes.

    A generator with a seed would not do: who tries all seeds can take the noise off again.
    """
    words = np.frombuffer(os.urandom(8 * shape.numel()), np.uint64)
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53  # in (0, 1)
    return torch.from_numpy(ndtri(uniform).astype(np.float32)).reshape(shape)


def in_own_order(bank: Bank) -> Bank:
    """Sort a bank by its tags, then by the bytes of its features."""
    tags = bank.partition.numpy().astype(">i8")[:, None].view(np.uint8)
    rows = np.hstack([tags, np.ascontiguousarray(bank.features.numpy()).view(np.uint8)])
    keys = np.ascontiguousarray(rows).view(f"S{rows.shape[1]}")[:, 0]
    return bank.take(torch.from_numpy(np.argsort(keys, kind="stable")))


def clip_rows(features: Tensor, most: float) -> Tensor:
    """Shorten rows that are longer than `most` to that length."""
    lengths = features.norm(dim=1, keepdim=True).clamp(min=1e-12)
    shorter: Tensor = features * (most / lengths).clamp(max=1)
    return shorter
