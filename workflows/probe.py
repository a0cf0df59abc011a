"""`microtome probe`: judge encoders by what simple classifiers learn from their embeddings."""

from workflows.extras import needs
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.probing.config import ProbeConfig
from workflows.progress import ProgressCallback

__all__ = ["ProbeConfig", "run"]


def run(config: ProbeConfig, progress: ProgressCallback) -> Outcome:
    """Train every probe on every share of the labels, and write what came of it.

    Raises:
        UsageError: the folder holds another run, or an option makes no sense.
        LabelsError: there are no labels, one class only, or an empty side of the split.
        EncoderError: there are no such embeddings, or no such encoder.
        StoreError: there is no archive.
    """
    from workflows.probing.files import RunFolder

    folder = RunFolder(config.out, overwrite=config.overwrite)
    with needs("models"):
        from workflows.probing.bench import Bench
        from workflows.probing.fits import Fits
    bench = Bench.prepare(config)
    fits = Fits(bench, folder)
    folder.start(config)
    for line in fits.results(progress):
        folder.add(line)
    document = {"archive": config.archive, "out": config.out, **bench.about()}
    document["lines"] = folder.lines
    document["files"] = folder.finish(document)
    failed = any(line["kind"] == "failed" for line in folder.lines)
    return Outcome(document, SOME_FAILED if failed else ALL_GOOD)
