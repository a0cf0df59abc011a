"""How both stages are trained unless told otherwise; plain values, no torch."""

from dataclasses import replace

from models.training.settings import TrainSettings

NO_MASK = 255
"""Fills the mask of a patch that has none, as imports write it."""

CLASSIFY = TrainSettings(
    epochs=20,
    batch=20,
    optimizer="sgd",
    base_lr=0.01,
    scale_lr=False,
    weight_decay=5e-4,
    poly=0.9,
    momentum=0.0,
)
"""Of stage 1 (METHODS 10.2, source), with its head ten times faster.

The source hands the weight decay to SGD as its momentum, 5e-4; here it is 0 (our choice, .9 may be
chosen). Batches larger than 20 need a lower rate: .01 diverged at 64 (review).
"""

SEGMENT_PUBLISHED = replace(CLASSIFY, epochs=30, momentum=0.9)
"""Of stage 2 with `divide_by_batch` (METHODS 10.5, source), all but the encoder ten times faster.

There are no biases of convolutions but in the last layer; those and norms do not decay (ours).
"""

SEGMENT = replace(SEGMENT_PUBLISHED, base_lr=SEGMENT_PUBLISHED.base_lr / SEGMENT_PUBLISHED.batch)
"""Of stage 2 without `divide_by_batch`: the rate is lowered by the batch instead (our choice).

Steps along the loss are then the published ones. Weights decay more slowly by the same factor, as
their decay is multiplied with the rate and was never divided.
"""
