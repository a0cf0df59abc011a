"""What a stage leaves: its model, the student's encoder for other commands, and predictions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.distilling.card import DistilledCard
from models.distilling.choosing import Parts
from models.distilling.job import DistillJob
from models.distilling.method import Distl
from models.distilling.model import MODEL, save_distilled
from models.distilling.predicting import PREDICTIONS, predict
from models.distilling.starting import Started
from models.encoders import EncoderCard, save_checkpoint
from models.ssl.pretraining import ENCODER, seen_before

METHOD = "distl"
SUFFIX = f"-{METHOD}"


def forget(folder: Path) -> None:
    """Remove what an earlier run of another kind left, so that nothing old lies beside the new."""
    for name in (ENCODER, PREDICTIONS):
        (folder / name).unlink(missing_ok=True)


def finish(
    job: DistillJob,
    parts: Parts,
    started: Started,
    method: Distl,
    training: Mapping[str, Any],
) -> dict[str, Any]:
    """Write all files, the model last; gives the cards as JSON values."""
    folder = Path(job.folder)
    predict(method.student, parts, infer_blur_px=job.infer_blur_px).save(folder)
    changed = _card(job, parts, started, training)
    card = save_checkpoint(folder / ENCODER, method.student.encoder, changed)
    model = DistilledCard(
        round=job.round,
        encoder=card,
        local_px=started.local_px,
        classes=parts.classes,
        target=parts.target,
        heads=started.settings.heads,
        parts={"labelled": len(parts.labelled), "folds": [len(rows) for rows in parts.folds]},
        tested=parts.tested,
    )
    stored = save_distilled(folder / MODEL, method.student, method.teacher, model)
    return {"card": card.document(), "model": stored.model_dump(mode="json")}


def _card(
    job: DistillJob, parts: Parts, started: Started, training: Mapping[str, Any]
) -> EncoderCard:
    card, labelled = started.card, len(parts.labelled)
    if job.round:
        rows = parts.unlabelled(job.round)
        what = f"round {job.round}, {len(rows):,} unlabelled and {labelled:,} labelled patches"
    else:
        what = f"initial model, {labelled:,} labelled patches"
        what += f" and those of {job.teach_folds} folds" if job.teach_folds else ""
    archives = ", ".join(Path(archive).name for archive in job.archives)
    seen = (
        f"{METHOD}: {what} ({archives}), {training['epochs']} epochs, batch {training['batch']}, "
        f"seed {job.seed}"
    )
    told, patch_px = parts.counted(parts.labelled), parts.patches.patch_shape[0]
    return card.model_copy(
        update={
            "name": job.name or f"{card.name.removesuffix(SUFFIX)}{SUFFIX}",
            "method": METHOD,
            "mpp": told["mpp"],
            "patch_px": None if patch_px == card.input_px else patch_px,
            "data": (*seen_before(card), seen),
        }
    )
