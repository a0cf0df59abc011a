"""Where a stage begins: an encoder of ours, or the model of the stage before (METHODS 8.5)."""

from dataclasses import dataclass
from pathlib import Path

from models.distilling.branch import Branch
from models.distilling.choosing import Parts
from models.distilling.flexible import with_sizes
from models.distilling.job import DistillJob
from models.distilling.model import open_distilled
from models.distilling.settings import DistlSettings
from models.encoders import Encoder, EncoderCard, open_encoder
from models.errors import DataError, MismatchError

WHOLE_PX = 256
"""Side of whole views in the paper (source); of smaller patches it is the encoder's own side."""
OTHERS = (
    "perhaps leaky: the model that it begins with was made with other patients kept apart, and "
    "some that test here may have taught it"
)


@dataclass(frozen=True)
class Started:
    """What a stage trains.

    Attributes:
        student: with its heads, on the CPU.
        teacher: None where it begins as a copy of the student.
        card: of the student's encoder.
        local_px: side of local views.
        settings: of the method, with the widths that the heads have.
        notes: what a person should know.
    """

    student: Branch
    teacher: Branch | None
    card: EncoderCard
    local_px: int
    settings: DistlSettings
    notes: tuple[str, ...] = ()


def start(job: DistillJob, parts: Parts, settings: DistlSettings) -> Started:
    """Open what a stage begins with.

    The initial model begins with an encoder and drawn heads; round 1 with the initial student, as
    its own teacher; later rounds with the student and the teacher of the round before.

    Raises:
        EncoderError: there is no such encoder, or it cannot take views of such sides.
        WeightsError: weights are missing or wrong.
        MismatchError: the model before knows other classes.
    """
    if job.start is None:
        if job.round:
            raise DataError(f"round {job.round} begins with a model, and none was given")
        return _from_encoder(job, parts, settings)
    card, student, teacher = open_distilled(Path(job.start), settings, drop_path=settings.drop_path)
    if (card.classes, card.target) != (parts.classes, parts.target):
        raise MismatchError(
            f"{job.start} knows {', '.join(card.classes)} ({card.target}); the patches have "
            f"{', '.join(parts.classes)} ({parts.target})"
        )
    first = job.round == 1 or card.round == 0
    return Started(
        student,
        None if first else teacher,
        card.encoder,
        card.local_px,
        settings.with_heads(card.heads),
        () if card.tested == parts.tested else (OTHERS,),
    )


def _from_encoder(job: DistillJob, parts: Parts, settings: DistlSettings) -> Started:
    encoder = _opened(job, parts.patches.patch_shape[0])
    card = encoder.card
    local_px = card.input_px // 2 if job.local_px is None else job.local_px
    # without self-supervision no local view is looked at
    sides = (card.input_px, local_px) if settings.self_supervision else (card.input_px,)
    flexible = with_sizes(encoder, sides, settings.drop_path)
    student = Branch(flexible, parts.outputs, settings, seed=job.seed)
    return Started(student, None, card, local_px, settings)


def _opened(job: DistillJob, patch_px: int) -> Encoder:
    side = job.input_px
    if side is None and patch_px >= WHOLE_PX:
        side = WHOLE_PX
    encoder = open_encoder(job.encoder, job.weights, input_px=side)
    card = encoder.card
    plain = card.method == "random" if job.normalise is None else not job.normalise
    if not plain:
        return encoder
    # the paper's images are in [0, 1], with neither mean nor deviation (METHODS 8.1)
    changed = card.model_copy(update={"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})
    return Encoder(encoder.network, encoder.tap, changed)
