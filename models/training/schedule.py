"""The learning rate of every step: warm-up, then half a cosine (METHODS 2.5) or a power."""

import math

from torch.optim import Optimizer

from models.training.settings import TrainSettings

REFERENCE_BATCH = 256
"""Batch that a base rate is given for: P. Goyal et al., Accurate, large minibatch SGD: training
ImageNet in 1 hour, 2017, arXiv 1706.02677, section 2.1."""


def peak_rate(settings: TrainSettings) -> float:
    """Give the rate at the end of the warm-up: base · N / 256, or the base itself."""
    scale = settings.batch / REFERENCE_BATCH if settings.scale_lr else 1.0
    return settings.base_lr * scale


def learning_rate(settings: TrainSettings, step: int, steps_per_epoch: int) -> float:
    """Give the rate of a step.

    It rises on a line from exactly 0 at step 0, then falls as half a cosine that reaches `final_lr`
    right after the last step. X. Chen, S. Xie, K. He, An empirical study of training
    self-supervised vision transformers, ICCV 2021, arXiv 2104.02057, section 4. With `poly` it
    falls as a power of what is left instead, as in METHODS 10.2.

    Args:
        settings: of the run.
        step: optimiser steps that are done, from 0.
        steps_per_epoch: at least 1.
    """
    peak = peak_rate(settings)
    if settings.constant_lr:
        return peak
    epochs = step / steps_per_epoch
    if epochs < settings.warmup_epochs:
        return peak * epochs / settings.warmup_epochs
    length = settings.epochs - settings.warmup_epochs
    if epochs >= settings.epochs or length <= 0:
        return 0.0
    done = (epochs - settings.warmup_epochs) / length
    if settings.poly is not None:
        return float(peak * (1 - done) ** settings.poly)
    falling = 0.5 * (1 + math.cos(math.pi * done))
    return settings.final_lr + (peak - settings.final_lr) * falling


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the rate of all parameters; that of a group is `times` higher, where it says so."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("times", 1.0)
