"""`microtome pretrain`: train an encoder without labels on the patches of archives."""

from workflows.errors import UsageError
from workflows.outcome import Outcome
from workflows.pretraining.config import PretrainConfig
from workflows.pretraining.request import KIND, job_of, without_effect
from workflows.progress import ProgressCallback
from workflows.training.running import train_into_folder

__all__ = ["PretrainConfig", "run"]


def run(config: PretrainConfig, progress: ProgressCallback) -> Outcome:
    """Train, or go on with a run that was stopped, and write its record.

    Raises:
        UsageError: the folder holds something else, or options do not go together.
        DataError: the patches cannot be trained on together.
        EncoderError: there is no such encoder.
        WeightsError: weights are missing or wrong.
        NumericsError: the loss became NaN, or embeddings collapsed; the last state is kept.
    """
    if config.sampler == "one-slide" and config.pool == "other_slides":
        raise UsageError("--pool other_slides needs several slides in a batch, not one-slide")
    return train_into_folder(
        config, KIND, lambda: job_of(config), progress, notes=without_effect(config)
    )
