"""Stain jitter: factors and shifts of haematoxylin, eosin and DAB."""

import numpy as np
import torch
from torch import Tensor

from models.augment.params import Floats

DENSITIES = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Optical density of red, green and blue light in each stain, (stain, colour).

Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution, Analytical
and Quantitative Cytology and Histology 2001.
"""

DARKEST = 1e-6
"""Of a value whose logarithm is taken."""


def jitter_stain(pictures: Tensor, stain: Floats) -> Tensor:
    """Scale and shift the amount of each stain, float32 (n, 3, H, W) in [0, 1].

    Tellez et al., Whole-slide mitosis detection in H&E breast histology using PHH3 as a reference
    to train distilled stain-invariant convolutional networks, 2018, arXiv 1808.05896, and
    Quantifying the effects of data augmentation and stain color normalization in convolutional
    neural networks for computational pathology, 2019, arXiv 1902.06543: amounts s become a s + b.
    Differs from the papers: amounts are optical densities to base 10, as those of Ruifrok and
    Johnston, and negative ones are kept, so that a = 1 and b = 0 change nothing.

    Args:
        pictures: are kept.
        stain: a and b of each stain, `(n, 2, 3)`.
    """
    # the three steps, apart, mix, are one linear map of the logarithms
    mixing = np.linalg.inv(DENSITIES) @ (stain[:, 0, :, None] * DENSITIES)
    shift = -np.log(10) * stain[:, 1] @ DENSITIES
    logs = pictures.clamp(min=DARKEST).log_()
    return _mapped(logs, mixing, shift).exp_().clamp_(max=1)


def _mapped(values: Tensor, mixing: Floats, shift: Floats) -> Tensor:
    """Map the colours of each pixel linearly.

    Sums are written out, as a matrix product may be rounded (TF32) for the sake of speed.

    Args:
        values: (n, 3, H, W).
        mixing: (n, from, to).
        shift: (n, to).
    """
    factors = torch.from_numpy(mixing.astype(np.float32)).to(values.device)[..., None, None]
    out = torch.from_numpy(shift.astype(np.float32)).to(values.device)[..., None, None]
    total = values[:, :1] * factors[:, 0] + out
    for colour in (1, 2):
        total += values[:, colour : colour + 1] * factors[:, colour]
    return total
