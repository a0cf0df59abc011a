"""`microtome segment train`: stage 2, which tissue every pixel is."""

from workflows.extras import needs
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback
from workflows.segmenting.config import SegmentTrainConfig
from workflows.segmenting.request import SEGMENT, hash_files, segment_job
from workflows.training.running import train_into_folder

__all__ = ["SegmentTrainConfig", "run"]


def run(config: SegmentTrainConfig, progress: ProgressCallback) -> Outcome:
    """Train, or go on with a run that was stopped, and write its record.

    Raises:
        UsageError: the folder holds something else, or options do not go together.
        LabelsError: the patches have no such masks.
        DataError: masks are of another size, or patches cannot be trained on together.
        EncoderError: there is no such architecture or encoder.
        WeightsError: weights are missing or wrong.
        NumericsError: the loss became NaN; the last state is kept.
    """
    with needs("models"):
        from models.segmentation.choosing import makers_of
    makers = makers_of(config.archives, config.split, config.masks)
    content = hash_files((config.encoder_weights,), *makers)
    return train_into_folder(
        config, SEGMENT, lambda: segment_job(config, content), progress, content=content
    )
