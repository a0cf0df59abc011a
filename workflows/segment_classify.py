"""`microtome segment classify`: stage 1, which tissues a patch holds."""

from workflows.outcome import Outcome
from workflows.progress import ProgressCallback
from workflows.segmenting.config import SegmentClassifyConfig
from workflows.segmenting.request import CLASSIFY, classify_job, hash_files
from workflows.training.running import train_into_folder

__all__ = ["SegmentClassifyConfig", "run"]


def run(config: SegmentClassifyConfig, progress: ProgressCallback) -> Outcome:
    """Train, or go on with a run that was stopped, and write its record.

    Raises:
        UsageError: the folder holds something else, or options do not go together.
        LabelsError: the patches have no labels, or none that teach anything.
        DataError: the patches cannot be trained on together.
        EncoderError: there is no such backbone.
        WeightsError: weights are missing or wrong.
        NumericsError: the loss became NaN; the last state is kept.
    """
    content = hash_files((config.backbone, config.init))
    return train_into_folder(
        config, CLASSIFY, lambda: classify_job(config, content), progress, content=content
    )
