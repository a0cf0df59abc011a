"""`microtome federate simulate`: a federated pretraining with all sites in one process."""

from typing import Annotated, Any, Literal

from pydantic import Field

from workflows.config import POSITIONAL
from workflows.errors import UsageError
from workflows.federating.config import FederationConfig, plan_document, without_effect
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback
from workflows.training.folder import Kind
from workflows.training.paths import absolute, location
from workflows.training.running import train_into_folder
from workflows.units import plural

HABITS = ("out", "device", "overwrite")
"""Options that a run may be taken up again with another value of."""

KIND = Kind(
    "federated pretraining", "encoder.safetensors", HABITS, "models.federated.simulation:run"
)


class FederateSimulateConfig(FederationConfig):
    """Pretrain an encoder as several hospitals would together, with all of them in this process.

    Sites are the `site` of the slides (volumes: the client); an archive that names none is one
    site. Run the same command again to go on from the last round. The folder then holds the
    averaged encoder with its card, and of every round what was exchanged, to the byte.
    """

    archives: Annotated[tuple[str, ...], POSITIONAL] = Field(min_length=1)
    """Paths or URLs of archives of slides or of volumes."""
    split: str | None = None
    """Only slides of this split of the manifest."""
    alone: bool = False
    """No site hears of another: local training, the baseline. Each site's encoder is kept, and
    their mean."""
    clip: float | None = Field(default=None, gt=0)
    """Greatest length of a feature that leaves a site, to which noise is in proportion; features
    have length 1, and receive it again at the other sites, so by itself it hides nothing."""
    noise: float = Field(default=0.0, ge=0)
    """Deviation of Gaussian noise on features that leave a site, as a multiple of clip."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU that there is."""


def run(config: FederateSimulateConfig, progress: ProgressCallback) -> Outcome:
    """Train, or go on with a run that was stopped, and write its record.

    Raises:
        UsageError: the folder holds something else, or options do not go together.
        DataError: the patches cannot be trained on together.
        EncoderError: there is no such encoder.
        NumericsError: the loss became NaN at too many sites; the last round is kept.
    """
    if config.noise and config.clip is None:
        raise UsageError("--noise is a multiple of --clip: give both")
    notes = [*without_effect(config), *_about_privacy(config)]
    return train_into_folder(config, KIND, lambda: _job(config), progress, notes=notes)


def _job(config: FederateSimulateConfig) -> dict[str, Any]:
    from models.federated.joining import find_members, guess_kind

    members = find_members([location(archive) for archive in config.archives], config.split)
    together = 1 if config.alone else len(members)
    if config.quorum > together:
        raise UsageError(f"--quorum {config.quorum}: {plural(together, 'site')} learn together")
    try:
        plan = plan_document(config, guess_kind(members[0]))
    except ValueError as err:
        raise UsageError(str(err)) from err
    return {
        "plan": plan,
        "sites": [one.document() for one in members],
        "folder": absolute(config.out),
        "alone": config.alone,
        "clip": config.clip,
        "noise": config.noise,
        "device": config.device,
    }


def _about_privacy(config: FederateSimulateConfig) -> list[str]:
    """Say what the noise is worth, and what it is not."""
    if not config.noise or config.method != "fcl":
        return []
    from models.federated.privacy import DELTA, FeaturePrivacy

    epsilon = FeaturePrivacy(config.clip, config.noise).epsilon(config.rounds, DELTA)
    return [
        f"noise: epsilon {epsilon:.3g} at delta {DELTA:g} for the features of one patch over "
        f"{config.rounds} rounds, as if the encoder were public; weights leave without noise, so "
        "the training as a whole is not differentially private"
    ]
