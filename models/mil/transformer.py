"""A two-layer transformer over the patches of a bag."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.mil.model import MilModel, MilOutput, masked_softmax
from models.mil.settings import ModelSettings

HEADS = 8


class Block(nn.Module):
    """One pre-norm layer: x + attention(norm(x)), then x + MLP(norm(x)) with GELU."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Mix tokens: (B, t, W) and (B, t) -> (B, t, W); memory grows with t only."""
        query, key, value = self._split(tokens)
        seen = None if mask is None else mask[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        tokens = tokens + self.out(mixed.transpose(1, 2).flatten(2))
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens

    def attention_of_first(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Attention of the first token to the others, mean over heads: (B, t, W) -> (B, t - 1)."""
        query, key, _ = self._split(tokens)
        scores = (query[:, :, :1] @ key.transpose(-1, -2))[:, :, 0] / key.shape[-1] ** 0.5
        return masked_softmax(scores, mask).mean(dim=1)[:, 1:]

    def _split(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of every head, (B, heads, t, W / heads) each."""
        joint: Tensor = self.query_key_value(self.norm1(tokens))
        shaped = joint.view(*joint.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return shaped[0], shaped[1], shaped[2]


class StampTransformer(MilModel):
    """A class token and two pre-norm transformer layers, without positions.

    El Nahhas et al., From whole-slide image to biomarker prediction: end-to-end weakly supervised
    deep learning in computational pathology, Nature Protocols 2024, arXiv 2312.10944; the settings
    are those of its program in March 2024.

    Differs from the paper: padding is masked, where there it becomes tokens like any other
    (`mask_padding = False` does the same). The attention that is shown is that of the class token
    in the last layer, the mean over heads, scaled to sum to 1 over the patches (our choice).
    torchmil has no transformer with a class token.
    """

    def __init__(self, dim: int, classes: int, settings: ModelSettings) -> None:
        super().__init__(dim, classes, settings)
        width = settings.hidden_dim
        if width % HEADS:
            raise ValueError(f"the hidden dim must be a multiple of {HEADS} heads, got {width}")
        self.mask_padding = settings.mask_padding
        self.first = nn.Sequential(nn.Linear(dim, width), nn.ReLU())
        self.class_token = nn.Parameter(torch.randn(width))
        self.lower, self.upper = (Block(width, HEADS, width) for _ in range(2))
        self.last = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, bags: Tensor, mask: Tensor | None = None) -> MilOutput:
        """See `MilModel.forward`."""
        token = self.class_token.expand(len(bags), 1, -1)
        tokens = torch.cat([token, self.first(bags)], dim=1)  # (B, 1 + n, W)
        seen = mask if self.mask_padding else None
        if seen is not None:
            seen = functional.pad(seen, (1, 0), value=True)
        tokens = self.lower(tokens, seen)
        attention = self.upper.attention_of_first(tokens, seen)  # (B, n)
        attention = attention / attention.sum(dim=1, keepdim=True)
        logits = self.last(self.upper(tokens, seen)[:, 0])
        return MilOutput(logits, attention[:, None])
