"""Scores of classifiers and their intervals: over resampled patients, over folds, by DeLong.

Labels are class numbers from 0. A score that is not defined (a class does not occur) is None, or
NaN in an array; it is never replaced by a guess.
"""

from models.scores.interval import Interval, student_t
from models.scores.metrics import accuracy, auprc, auroc, balanced_accuracy, macro
from models.scores.resampling import (
    Comparison,
    bootstrap,
    bootstrap_each,
    paired_bootstrap,
    paired_bootstrap_each,
)
from models.scores.roc import Delong, delong, delong_test

__all__ = [
    "Comparison",
    "Delong",
    "Interval",
    "accuracy",
    "auprc",
    "auroc",
    "balanced_accuracy",
    "bootstrap",
    "bootstrap_each",
    "delong",
    "delong_test",
    "macro",
    "paired_bootstrap",
    "paired_bootstrap_each",
    "student_t",
]
