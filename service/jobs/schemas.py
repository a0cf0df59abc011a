"""The schema of a workflow's config as clients see it, and how a config is checked by it."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from service.errors import InvalidError
from service.jobs.kinds import ABOUT
from service.jobs.names import in_words_of_json
from service.jobs.offers import Offer, find_offer


@cache
def client_schema(name: str) -> Mapping[str, Any]:
    """Give the JSON schema of a workflow without the operator's fields; places say their kind.

    Raises:
        InvalidError: there is no such workflow.
    """
    offer = find_offer(name)
    schema = offer.model.model_json_schema()
    properties = schema["properties"]
    for field in offer.hidden:
        del properties[field]
    for field, known in properties.items():
        told = in_words_of_json(" ".join(known.get("description", "").split()))
        kind = offer.words.get(field)
        if kind in ABOUT:
            known["place"] = kind.value
            told = f"{told} {ABOUT[kind]}".strip()
        known["description"] = told
    schema["description"] = in_words_of_json(schema.get("description", ""))
    return dict(schema)


def places_of(offer: Offer) -> dict[str, str]:
    """Give the fields that name a place, and the kind of place."""
    return {name: kind.value for name, kind in offer.words.items() if kind in ABOUT}


def check_config(offer: Offer, config: Mapping[str, Any]) -> dict[str, Any]:
    """Check what a client gave; gives it as JSON values, without defaults.

    Raises:
        InvalidError: it holds what no database keeps.
        RequestValidationError: a field is unknown, the operator's, or makes no sense.
    """
    _require_storable(config)
    known = {name: value for name, value in config.items() if name not in offer.hidden}
    problems = [_hidden(name) for name in config.keys() & offer.hidden]
    try:
        checked = offer.model.model_validate(known)
    except ValidationError as err:
        raise RequestValidationError([*problems, *_problems(err)]) from err
    if problems:
        raise RequestValidationError(problems)
    return checked.model_dump(mode="json", exclude_unset=True)


def _require_storable(config: Mapping[str, Any]) -> None:
    try:
        text = json.dumps(config, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as err:  # NaN, infinity, half of a surrogate pair
        raise InvalidError("config holds a number or a text that JSON cannot") from err
    if "\\u0000" in text:
        raise InvalidError("config holds the character NUL")


def _hidden(name: str) -> dict[str, Any]:
    why = "is decided by the service, not by its clients"
    return {"type": "extra_forbidden", "loc": ("body", "config", name), "msg": why}


def _problems(err: ValidationError) -> Iterator[dict[str, Any]]:
    for known in err.errors(include_url=False, include_context=False, include_input=False):
        told = in_words_of_json(known["msg"].removeprefix("Value error, "))
        yield {"type": known["type"], "loc": ("body", "config", *known["loc"]), "msg": told}
