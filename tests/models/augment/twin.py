"""One patch at a time, with torchvision's functions, as the drawn parameters say."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.color import hed_from_rgb, rgb_from_hed
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from models.augment import Params, Preset, ViewParams
from models.augment.view import View

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

JITTERS = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def patches(count: int, patch_px: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth, colourful patches with noise, black and white spots."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((count, 3, 5, 5)) * 1.6 - 0.3)
    smooth = tv.resize(coarse, [patch_px, patch_px], antialias=False).permute(0, 2, 3, 1).numpy()
    noisy = smooth + 0.1 * rng.standard_normal(smooth.shape)
    return np.round(255 * noisy.clip(0, 1)).astype(np.uint8)


def views_of(pixels: NDArray[np.uint8], preset: Preset, params: Params) -> list[Tensor]:
    """Give what `Preset.apply` must give."""
    sides = (preset.side_px, preset.local_px)
    return [
        torch.stack(
            [
                finished(cut(patch, drawn, row, law, sides[law.local]), drawn, row, law)
                for row, patch in enumerate(pixels)
            ]
        )
        for law, drawn in zip(preset.recipe.views, params.views, strict=True)
    ]


def cut(patch: NDArray[np.uint8], drawn: ViewParams, row: int, law: View, side_px: int) -> Tensor:
    """Crop and resize in float64, flip, turn, tilt."""
    side = len(patch)
    height, width = (max(1, round(side * share)) for share in drawn.crop[row, :2])
    top = int(drawn.crop[row, 2] * (side - height + 1))
    left = int(drawn.crop[row, 3] * (side - width + 1))
    image = torch.from_numpy(patch).permute(2, 0, 1).double() / 255
    mode = tv.InterpolationMode.BICUBIC if law.cubic else tv.InterpolationMode.BILINEAR
    size = [side_px, side_px]
    image = tv.resized_crop(image, top, left, height, width, size, mode, antialias=True)
    image = image.clamp(0, 1) if law.cubic else image
    array = image.permute(1, 2, 0).numpy()
    if drawn.flip[row, 0]:
        array = np.flipud(array)
    if drawn.flip[row, 1]:
        array = np.fliplr(array)
    array = np.rot90(array, drawn.turn[row])
    image = torch.from_numpy(array.copy()).permute(2, 0, 1).float()
    if not drawn.tilt[row]:
        return image
    return tv.rotate(image, float(drawn.tilt[row]), tv.InterpolationMode.BILINEAR)


def finished(image: Tensor, drawn: ViewParams, row: int, law: View) -> Tensor:
    """Jitter stains and colours, grey, blur, solarize, normalise."""
    if law.stain:
        image = stained(image, drawn.stain[row])
    image = toned(image, drawn, row)
    if drawn.jittered[row]:
        for operation in drawn.order[row]:
            image = JITTERS[operation](image, float(drawn.factors[row, operation]))
    if drawn.grey[row]:
        image = tv.rgb_to_grayscale(image, 3)
    sigma, side = float(drawn.sigma[row]), image.shape[-1]
    kernel = 2 * (side // 20 if law.blur_reach == "tenth" else math.ceil(4 * sigma)) + 1
    if sigma > 0 and kernel > 1:
        image = tv.gaussian_blur(image, [kernel, kernel], [sigma, sigma])
    if drawn.solarized[row]:
        image = tv.solarize(image, 0.5)
    return tv.normalize(image, list(MEAN), list(STD))


def toned(image: Tensor, drawn: ViewParams, row: int) -> Tensor:
    """Stretch the channels, and make their histograms even."""
    if drawn.autocontrast[row]:
        image = tv.autocontrast(image)
    return tv.equalize(image) if drawn.equalized[row] else image


def stained(image: Tensor, stain: NDArray[np.float64]) -> Tensor:
    """Scale and shift the optical density of each stain."""
    density = -np.log10(np.maximum(image.permute(1, 2, 0).double().numpy(), 1e-6))
    amounts = stain[0] * (density @ hed_from_rgb) + stain[1]
    mixed = np.minimum(10 ** -(amounts @ rgb_from_hed), 1)
    return torch.from_numpy(mixed).permute(2, 0, 1).float()
