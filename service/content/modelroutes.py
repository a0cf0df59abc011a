"""Routes of encoders and trained models: what a job may be asked to use."""

from typing import Any

from fastapi import Request

from models.encoders.card import EncoderCard
from models.encoders.known import Known
from models.encoders.table import known_encoders
from service.auth.access import Reader
from service.content.checkpoints import Checkpoints
from service.content.documents import EncoderOut, ModelOut
from service.content.found import content_router
from service.problems import problems

router = content_router()

TAGS: list[Any] = ["models"]
FAILS = problems(401, 403, 422, 429, 503)


@router.get("/encoders", tags=TAGS, responses=FAILS)
def list_encoders(request: Request, caller: Reader) -> list[EncoderOut]:
    """List the encoders that patches can be embedded with: own checkpoints, then published ones."""
    own = [_own(model) for model in _checkpoints(request).find() if model.kind == "encoder"]
    return [*own, *(_published(row) for row in known_encoders())]


@router.get("/models", tags=TAGS, responses=FAILS)
def list_models(request: Request, caller: Reader) -> list[ModelOut]:
    """List the trained models in the folder of the service, by path."""
    return _checkpoints(request).find()


def _checkpoints(request: Request) -> Checkpoints:
    checkpoints: Checkpoints = request.app.state.content.checkpoints
    return checkpoints


def _own(model: ModelOut) -> EncoderOut:
    card = EncoderCard.model_validate(model.card)
    return EncoderOut(
        name=model.path,
        kind="checkpoint",
        encoder_id=card.encoder_id,
        architecture=card.architecture,
        dim=card.dim,
        input_px=card.patch_px or card.input_px,
        mpp=card.mpp,
        gated=False,
        licence="",
        page="",
        card=model.card,
    )


def _published(row: Known) -> EncoderOut:
    return EncoderOut(
        name=row.name,
        kind="published",
        encoder_id=row.name,
        architecture=row.architecture,
        dim=row.dim,
        input_px=row.patch_px or row.input_px,
        mpp=row.mpp,
        gated=row.gated,
        licence=row.licence,
        page=row.page,
        card=None,
    )
