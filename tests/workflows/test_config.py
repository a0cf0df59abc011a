import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError

from tiling.request import CutOptions
from workflows import WORKFLOWS
from workflows.config import WorkflowConfig, config_hash, make_config, nearest
from workflows.cutting import CutConfig, cut_options
from workflows.errors import UsageError
from workflows.plan import PlanConfig


class Knife(WorkflowConfig):
    """A knife."""

    blade: str
    """What it is made of."""
    angle_deg: float = Field(default=5.0, gt=0, le=90)
    """Angle, in degrees."""


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_field_of_every_workflow_has_a_sentence(name: str) -> None:
    for field in WORKFLOWS[name].config_model.model_fields.values():
        assert (field.description or "").rstrip().endswith(".")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_config_has_a_json_schema_that_forbids_other_keys(name: str) -> None:
    schema = json.loads(json.dumps(WORKFLOWS[name].schema()))
    assert schema["additionalProperties"] is False
    assert all("description" in known for known in schema.get("properties", {}).values())


def test_configs_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Knife(blade="steel").blade = "glass"  # type: ignore[misc]  # that it cannot be set is tested


def test_defaults_are_those_of_tiling() -> None:
    assert cut_options(PlanConfig(slides=("a.svs",))) == CutOptions()


def test_native_means_no_requested_resolution() -> None:
    assert cut_options(PlanConfig(slides=("a.svs",), mpp="native")).mpp is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.toml", 'blade = "glass"\nangle-deg = 7\n'),
        ("c.json", '{"blade": "glass", "angle_deg": 7}'),
    ],
)
def test_a_file_gives_values_and_flags_win(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert make_config(Knife, {}, file) == Knife(blade="glass", angle_deg=7)
    assert make_config(Knife, {"blade": "steel"}, file) == Knife(blade="steel", angle_deg=7)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("blad = 'glass'", "unknown key 'blad' in the config file .*did you mean blade"),
        ("colour = 'red'", "unknown key 'colour' .*there are: blade, angle_deg"),
        ("blade = ", "is not valid TOML or JSON"),
        ("blade = 'a'\nangle_deg = 0", "--angle-deg: input should be greater than 0, got 0"),
        ("angle_deg = 1", "--blade is needed"),
        ("blade = 3", "--blade: input should be a valid string, got 3"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=sentence) as caught:
        make_config(Knife, {}, file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "cannot read the config file"), (b"[1]", "must hold keys"), (b"\xff", "not valid")],
    ids=["missing", "a list", "not text"],
)
def test_a_config_file_that_is_none_is_refused(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    file = tmp_path / "c.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=sentence):
        make_config(Knife, {}, file)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "give slides or a --manifest"),
        ({"slides": ["a"], "manifest": "m.csv"}, "and not both"),
        ({"slides": ["a"], "tissue": "mask"}, "need a --tissue-path"),
        ({"slides": ["a"], "tissue_path": "m.png"}, "nothing else does"),
        ({"slides": ["a"], "encoding": "jpeg:0"}, "--encoding: .*got 'jpeg:0'"),
        ({"slides": ["a"], "encoding": "png"}, "--encoding"),
        ({"slides": ["a"], "mpp": "0"}, "--mpp"),
        ({"slides": ["a"], "mpp": "fine"}, "--mpp: .*'native'.*got 'fine'"),
        ({"slides": ["a"], "min_tissue": 1.5}, "--min-tissue"),
        ({"slides": ["a"], "patch_size": 0}, "--patch-size"),
        ({"slides": ["a"], "stride": 0}, "--stride"),
    ],
)
def test_impossible_cuts_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        make_config(CutConfig, values)


def test_equal_configs_have_equal_hashes() -> None:
    one, same, other = Knife(blade="a"), Knife(angle_deg=5, blade="a"), Knife(blade="b")
    assert config_hash(one) == config_hash(same)
    assert config_hash(one) != config_hash(other)


def test_nearest_names_the_likely_one_or_all() -> None:
    assert nearest("stryde", ["stride", "mpp"]) == "did you mean stride?"
    assert nearest("zzz", ["stride", "mpp"]) == "there are: stride, mpp"
