"""What happens to pictures once they are cut: stain, tones, colours, blur, solarizing, in order."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from models.augment.blur import Blur
from models.augment.colour import grey_of, solarize
from models.augment.jitter import Jitter
from models.augment.params import ViewParams
from models.augment.stain import jitter_stain
from models.augment.storage import chosen_rows, put_rows, take_rows
from models.augment.tones import autocontrast, equalize
from models.augment.view import View


@dataclass(frozen=True, slots=True)
class Finish:
    """All that was drawn for N pictures but the geometry.

    Attributes:
        params: what was drawn.
        jitter: the part of it on colours.
        stained: whether stains are jittered.
        blur: of those that are blurred.
    """

    params: ViewParams
    jitter: Jitter
    stained: bool
    blur: Blur

    @classmethod
    def of(cls, law: View, params: ViewParams, side_px: int, device: torch.device) -> Self:
        """Prepare what was drawn by a law."""
        blur = Blur.of(params.sigma, law.blur_reach, side_px, device)
        return cls(params, Jitter.of(params, device), law.stain > 0, blur)

    def apply(self, pictures: Tensor, part: slice) -> Tensor:
        """Finish the pictures of a part, float32 (n, 3, S, S) in [0, 1]; they may be changed."""
        if self.stained:
            pictures = jitter_stain(pictures, self.params.stain[part])
        for chosen, work in (
            (self.params.autocontrast, autocontrast),
            (self.params.equalized, equalize),
        ):
            rows = chosen_rows(chosen[part])
            if len(rows):
                put_rows(pictures, rows, work(take_rows(pictures, rows)))
        self.jitter.apply(pictures, part)
        grey = chosen_rows(self.params.grey[part])
        if len(grey):
            put_rows(pictures, grey, grey_of(take_rows(pictures, grey)).expand(-1, 3, -1, -1))
        pictures = self.blur.apply(pictures, part)
        solarized = chosen_rows(self.params.solarized[part])
        if len(solarized):
            put_rows(pictures, solarized, solarize(take_rows(pictures, solarized)))
        return pictures
