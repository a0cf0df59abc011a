"""Routes of workflows: which there are, and what their configs may hold."""

from fastapi import APIRouter

from service.auth.access import Reader
from service.errors import NotFoundError
from service.jobs.offers import OFFERS, Offer
from service.jobs.schemas import client_schema, places_of
from service.jobs.views import WorkflowView
from service.problems import problems

router = APIRouter(prefix="/api/v1/workflows", tags=["workflows"])


@router.get("", summary="List the workflows.", responses=problems(401, 403, 429, 503))
def list_workflows(caller: Reader) -> list[WorkflowView]:
    """List what jobs may do, with the schema of each config: forms are made from it."""
    del caller
    return [_view(offer) for offer in OFFERS.values()]


@router.get(
    "/{name}", summary="Look at a workflow.", responses=problems(401, 403, 404, 422, 429, 503)
)
def read_workflow(caller: Reader, name: str) -> WorkflowView:
    """Give one workflow; names of two words have a space between them."""
    del caller
    if name not in OFFERS:
        raise NotFoundError(f"there is no workflow {name[:60]!r}")
    return _view(OFFERS[name])


def _view(offer: Offer) -> WorkflowView:
    return WorkflowView(
        name=offer.name,
        sentence=offer.sentence,
        places=places_of(offer),
        example=dict(offer.example),
        config_schema=dict(client_schema(offer.name)),
    )
