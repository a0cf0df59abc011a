"""Which layer of a network is the embedding: the usual output, stages, or tokens of a transformer.

Stages (METHODS §2.3) are the last four feature maps of a hierarchical network, such as layer1 to
layer4 of a ResNet or the four stages of a Swin transformer.
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

StageTap = Literal["pre_merge", "post_merge"]
StageNorm = Literal["none", "layernorm"]
STAGES = 4


class Tap(Protocol):
    """Reads one layer."""

    def __call__(self, network: Any, images: Tensor) -> Tensor:
        """Give (B, D) from a network and its images (B, 3, H, W)."""


@dataclass(frozen=True, slots=True)
class Usual:
    """The network's own pooled output."""

    def __call__(self, network: Any, images: Tensor) -> Tensor:
        """Give (B, D)."""
        found: Tensor = network(images)
        return found


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a transformer after its final norm.

    Attributes:
        which: cls, mean (of patch tokens; class and register tokens are not in it) or cls+mean.
    """

    which: str

    def __call__(self, network: Any, images: Tensor) -> Tensor:
        """Give (B, D), or (B, 2 D) for both."""
        tokens = network.forward_features(images)  # (B, prefix + patches, D)
        parts = []
        if self.which.startswith("cls"):
            parts.append(tokens[:, 0])
        if self.which.endswith("mean"):
            parts.append(tokens[:, network.num_prefix_tokens :].mean(dim=1))
        norm = getattr(network, "fc_norm", nn.Identity())  # some norm after pooling, not before
        return torch.cat([norm(part) for part in parts], dim=-1)


@dataclass(frozen=True, slots=True)
class Stages:
    """Global averages of stages, side by side; stage 4 is the usual output (METHODS §2.3).

    Attributes:
        wanted: the stages, from 1, rising.
        tap: the map before or after the merging layer that follows the stage.
        norm: layernorm, parameter-free over channels before the average, of stages 1 to 3.
    """

    wanted: tuple[int, ...]
    tap: StageTap = "pre_merge"
    norm: StageNorm = "none"

    def __call__(self, network: Any, images: Tensor) -> Tensor:
        """Give (B, sum of the stages' channels)."""
        lower = [stage for stage in self.wanted if stage < STAGES]
        first = len(network.feature_info) - STAGES
        indices = [first + stage - 1 for stage in lower]
        if lower == list(self.wanted):
            maps = network.forward_intermediates(
                images, indices=indices, stop_early=True, intermediates_only=True
            )
            usual = []
        else:
            final, maps = network.forward_intermediates(images, indices=indices)
            usual = [network.forward_head(final, pre_logits=True)]
        pooled = [self._pool(network, *found) for found in zip(lower, maps, strict=True)]
        return torch.cat([*pooled, *usual], dim=-1)

    def _pool(self, network: Any, stage: int, found: Tensor) -> Tensor:
        rows = found.permute(0, 2, 3, 1)  # (B, h, w, C)
        if self.tap == "post_merge":
            rows = network.layers[stage].downsample(rows)
        if self.norm == "layernorm":
            rows = functional.layer_norm(rows, rows.shape[-1:])
        return rows.mean(dim=(1, 2))
