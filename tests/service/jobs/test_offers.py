"""The table of workflows: every text of every config is classified, and nothing else is."""

import typing
from types import NoneType, UnionType
from typing import Any, Literal

import pytest

from service.errors import InvalidError
from service.jobs.finders import FINDERS
from service.jobs.kinds import ABOUT, OUTPUTS, Kind
from service.jobs.offers import MACHINE, OFFERS, find_offer
from service.jobs.schemas import check_config, client_schema, in_words_of_json, places_of
from workflows.config import WorkflowConfig
from workflows.registry import WORKFLOWS

NO_JOBS = {
    *("serve", "token", "doctor", "version"),  # no work on slides
    *("info", "ls", "encoders"),  # routes of their own tell
    *("experiment", "segment run"),  # whole studies
    "federate",  # of several sites
}
"""Workflows, or groups of them."""


def holds_text(annotation: Any) -> bool:
    """Whether a value of this type may be a text that is not one of a list."""
    origin = typing.get_origin(annotation)
    if origin is Literal or annotation in (NoneType, bool, int, float, ...):
        return False
    if origin is typing.Annotated:
        return holds_text(typing.get_args(annotation)[0])
    if origin in (typing.Union, UnionType, tuple, list, dict):
        return any(map(holds_text, typing.get_args(annotation)))
    return True


def texts(model: type[WorkflowConfig]) -> set[str]:
    return {name for name, field in model.model_fields.items() if holds_text(field.annotation)}


def test_every_workflow_is_offered_or_known_to_be_no_job() -> None:
    others = {name for name in WORKFLOWS if {name, name.partition(" ")[0]} & NO_JOBS}
    assert set(WORKFLOWS) - others == set(OFFERS)


@pytest.mark.parametrize("name", OFFERS)
def test_every_text_of_a_config_is_classified(name: str) -> None:
    offer = OFFERS[name]
    assert set(offer.words) == texts(offer.model)


@pytest.mark.parametrize("name", OFFERS)
def test_what_is_the_operators_is_no_clients(name: str) -> None:
    offer = OFFERS[name]
    properties = client_schema(name)["properties"]
    assert offer.hidden == set(MACHINE) & set(offer.model.model_fields)
    assert not offer.hidden & set(properties)
    assert {n for n, kind in offer.words.items() if kind is Kind.MACHINE} <= offer.hidden
    assert set(properties) == set(offer.model.model_fields) - offer.hidden


@pytest.mark.parametrize("name", OFFERS)
def test_a_schema_says_which_fields_are_places(name: str) -> None:
    properties = client_schema(name)["properties"]
    said = {field: known["place"] for field, known in properties.items() if "place" in known}
    assert said == places_of(OFFERS[name])
    assert not [known for known in properties.values() if "--" in known["description"]]


@pytest.mark.parametrize("name", OFFERS)
def test_an_example_is_a_config(name: str) -> None:
    offer = OFFERS[name]
    assert check_config(offer, offer.example) == offer.example


def test_every_kind_is_found_or_is_of_slides_or_the_operators() -> None:
    elsewhere = {Kind.SLIDES, Kind.ARCHIVE_OR_SLIDES, Kind.MACHINE}
    assert set(Kind) == set(FINDERS) | elsewhere
    assert set(ABOUT) >= OUTPUTS


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(InvalidError, match="there is no workflow 'tiel'; did you mean tile"):
        find_offer("tiel")


def test_options_are_told_as_fields() -> None:
    text = "give slides or a --manifest; --no-gate, --tissue-path: use --force"
    assert in_words_of_json(text) == "give slides or a manifest; gate, tissue_path: use force"
    assert in_words_of_json("a--b and -x stay") == "a--b and -x stay"
