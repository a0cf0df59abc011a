"""Grad-CAM: where in a patch a class shows, at each of a trunk's maps (METHODS 10.4)."""

import torch
from torch import Tensor

from models.losses.precision import full_precision, widen
from models.segmentation.classifier import Classifier


def grad_cam(network: Classifier, images: Tensor) -> tuple[Tensor, ...]:
    """Give the maps of all classes, per tap of the trunk, each float32 (B, C, h, w).

    R. Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization, ICCV 2017, arXiv 1610.02391, equations (1) and (2): with activations a_c,

        alpha_kc = mean over places of d logit_k / d a_c        map_k = sum_c alpha_kc a_c

    Differs from the paper: no ReLU, as in METHODS 10.4 (source), so maps may be negative.

    Args:
        network: in evaluation mode, so that nothing is dropped; its parameters get no gradient.
        images: (B, 3, H, W), as the network takes them.

    Raises:
        ValueError: the network is in training mode.
    """
    if network.training:
        raise ValueError("Grad-CAM needs a network in evaluation mode; call `network.eval()`")
    with torch.enable_grad():
        # a gradient of images makes a graph even where no parameter is trained
        taps = network.trunk(images.detach().requires_grad_())
        logits = network.decide(taps[-1])
        found = [_class_maps(logits[:, k].sum(), taps) for k in range(logits.shape[1])]
    return tuple(torch.stack(maps, dim=1) for maps in zip(*found, strict=True))


def _class_maps(logit: Tensor, taps: tuple[Tensor, ...]) -> list[Tensor]:
    """Give the map of one class at every tap, (B, h, w); `logit` is summed over images."""
    gradients = torch.autograd.grad(logit, taps, retain_graph=True)
    with full_precision(logit):
        return [
            torch.einsum("bdhw,bd->bhw", widen(tap.detach()), widen(g).mean(dim=(2, 3)))
            for tap, g in zip(taps, gradients, strict=True)
        ]
