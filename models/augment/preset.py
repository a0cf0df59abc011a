"""A preset: draws what happens to patches, and makes it happen."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.augment.chunks import Portions
from models.augment.drawing import draw
from models.augment.finishing import Finish
from models.augment.geometry import Resampler, Turner
from models.augment.masks import move_masks
from models.augment.params import Params, ViewParams
from models.augment.storage import keep_freed_memory, new_pictures, put_pictures
from models.augment.tilt import Tilt
from models.augment.view import Recipe, View
from models.threads import side_by_side


@dataclass(frozen=True, slots=True)
class Preset:
    """Random views of square patches.

    Attributes:
        recipe: laws of the views.
        side_px: of every view but local ones.
        mean: of the normalisation, per channel, for values in [0, 1].
        std: of the normalisation.
        local_px: side of local views, where the recipe has any.
    """

    recipe: Recipe
    side_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    local_px: int = 0

    @property
    def views(self) -> int:
        """How many views of each patch there are."""
        return len(self.recipe.views)

    def draw(self, count: int, rng: np.random.Generator) -> Params:
        """Draw what happens to `count` patches: of a whole step, of which ranks take their rows."""
        return draw(self.recipe, count, rng)

    @torch.no_grad()
    def apply(self, pixels: Tensor, params: Params) -> tuple[Tensor, ...]:
        """Make the views on the pixels' device, each float32 (B, 3, side, side), normalised.

        Local views have a side of their own.

        A view of a patch depends on its pixels and its row of `params` only. Devices differ by the
        rounding of float32.

        Args:
            pixels: uint8 `(B, P, P, 3)`.
            params: of these B patches.

        Raises:
            ValueError: pixels of another kind, or `params` of another number of patches or views.
        """
        self._check(pixels, params)
        keep_freed_memory(pixels.device)
        upright = self._upright(pixels, params.views[0]) if self.recipe.rotations else None
        views = zip(self.recipe.views, params.views, strict=True)
        return tuple(self._view(law, drawn, pixels, upright) for law, drawn in views)

    def follow(self, masks: Tensor, params: Params) -> Tensor:
        """Flip and turn masks as the first view, uint8 (B, M, P, P) -> (B, M, side, side).

        Raises:
            ValueError: the preset crops or resizes, which masks cannot follow to the pixel.
        """
        if self.recipe.views[0].crop is not None or masks.shape[2:] != (self.side_px,) * 2:
            raise ValueError(
                f"masks {tuple(masks.shape)} cannot follow views of {self.side_px} px that crop or "
                "resize; use a preset of whole patches at the size of the masks"
            )
        return move_masks(masks, params.views[0])

    def _upright(self, pixels: Tensor, drawn: ViewParams) -> Tensor:
        """Cut all patches, without turning them."""
        portions = Portions.of(drawn, self.side_px, pixels.device)
        cutter = Resampler.of(pixels, drawn.rows(portions.order), portions, self.side_px)
        upright = new_pictures(len(pixels), self.side_px, pixels.device)

        def work(part: slice) -> None:
            put_pictures(upright, portions.order[part], cutter.cut(part), cutter.lying[part])

        list(side_by_side(torch.no_grad()(work), portions.parts, pixels.device))
        return upright

    def _view(self, law: View, drawn: ViewParams, pixels: Tensor, upright: Tensor | None) -> Tensor:
        side_px = self.local_px if law.local else self.side_px
        portions = Portions.of(drawn, side_px, pixels.device)
        drawn = drawn.rows(portions.order)
        cutter: Resampler | Turner = (
            Resampler.of(pixels, drawn, portions, side_px, cubic=law.cubic)
            if upright is None
            else Turner.of(upright, drawn, portions)
        )
        tilt = Tilt.of(drawn.tilt, cutter.lying)
        finish = Finish.of(law, drawn, side_px, pixels.device)
        out = new_pictures(len(pixels), side_px, pixels.device)
        scale = 1 / torch.tensor(self.std, device=pixels.device)[:, None, None]
        offset = -torch.tensor(self.mean, device=pixels.device)[:, None, None] * scale
        lying = cutter.lying ^ finish.blur.transposes

        def work(part: slice) -> None:
            pictures = tilt.apply(cutter.cut(part), part)
            pictures = finish.apply(pictures, part).mul_(scale).add_(offset)
            put_pictures(out, portions.order[part], pictures, lying[part])

        list(side_by_side(torch.no_grad()(work), portions.parts, pixels.device))
        return out

    def _check(self, pixels: Tensor, params: Params) -> None:
        shape = tuple(pixels.shape)
        if pixels.dtype != torch.uint8 or (*shape[1:2], 3) != shape[2:]:
            raise ValueError(
                f"pixels must be uint8 of shape (B, P, P, 3), got {pixels.dtype} of {shape}"
            )
        counts = [len(view) for view in params.views]
        if counts != [shape[0]] * self.views:
            raise ValueError(
                f"parameters of {counts} patches for {self.views} views of {shape[0]} patches: "
                "draw them with this preset, and take the rows of these patches"
            )
