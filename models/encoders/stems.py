"""The convolutional stem of CTransPath, in place of a Swin transformer's patch projection."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from models.errors import EncoderError


class ConvStem(nn.Module):
    """Two strided convolutions and a projection, patches of 4 px; what Swin calls `embed_layer`.

    Wang et al., Transformer-based Unsupervised Contrastive Learning for Histopathological Image
    Classification, Medical Image Analysis 2022; METHODS §2.2. For C output channels:
    conv 3 x 3 stride 2, 3 to C/8, BN, ReLU, conv 3 x 3 stride 2, C/8 to C/4, BN, ReLU,
    conv 1 x 1 to C with bias, then the norm over channels.

    Attributes:
        grid_size: rows and columns of patches.
    """

    def __init__(
        self,
        img_size: int | tuple[int, int],
        embed_dim: int,
        norm_layer: Callable[..., nn.Module] | None = None,
        **unused: Any,
    ) -> None:
        super().__init__()
        side = img_size if isinstance(img_size, int) else img_size[0]
        if side != SIDE_PX or unused.get("patch_size", 4) != 4 or unused.get("in_chans", 3) != 3:
            raise EncoderError(f"CTransPath takes RGB images of exactly {SIDE_PX} px, got {side}")
        eighth, quarter = embed_dim // 8, embed_dim // 4
        self.img_size, self.patch_size = (side, side), (4, 4)
        self.grid_size = (side // 4, side // 4)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.proj = nn.Sequential(
            nn.Conv2d(3, eighth, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(eighth),
            nn.ReLU(),
            nn.Conv2d(eighth, quarter, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(quarter),
            nn.ReLU(),
            nn.Conv2d(quarter, embed_dim, 1),
        )
        self.norm = norm_layer(embed_dim) if norm_layer else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Give (B, H / 4, W / 4, C) from (B, 3, H, W); timm's Swin wants channels last.

        Raises:
            EncoderError: the images are not of 224 px.
        """
        if tuple(images.shape[-2:]) != self.img_size:
            raise EncoderError(
                f"CTransPath takes images of exactly {SIDE_PX} px, got {tuple(images.shape[-2:])}"
            )
        found: Tensor = self.norm(self.proj(images).permute(0, 2, 3, 1))
        return found


SIDE_PX = 224
"""Window 7 and four stages fit only this side; the published code refuses all others."""
