"""The base of every workflow's config, how one is read from a file and flags, and its hash.

The model is the only place of a parameter. What is wrong with values becomes one sentence that
names the nearest valid key.
"""

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from workflows.errors import UsageError

POSITIONAL = "positional"
"""Metadata of the field that the command line takes without a flag."""


class WorkflowConfig(BaseModel):
    """Settings of a workflow: frozen, checked when made, every field with its sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Config = TypeVar("Config", bound=WorkflowConfig)


def make_config(
    model: type[Config], given: Mapping[str, Any], file: str | Path | None = None
) -> Config:
    """Make a config from a file (TOML or JSON) and from values given directly, which win.

    Raises:
        UsageError: one sentence, about everything that is wrong.
    """
    values = {} if file is None else read_config_file(file)
    _require_known(model, values, file)
    try:
        return model.model_validate(values | dict(given))
    except ValidationError as err:
        raise UsageError(_sentence(err)) from err


def read_config_file(file: str | Path) -> dict[str, Any]:
    """Read the values of a TOML or JSON file; `-` in a key means `_`."""
    path = Path(file)
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as err:
        raise UsageError(f"cannot read the config file {path}: {err.strerror}") from err
    except ValueError as err:  # TOML, JSON and UTF-8 errors alike
        raise UsageError(f"the config file {path} is not valid TOML or JSON: {err}") from err
    if not isinstance(document, dict):
        raise UsageError(f"the config file {path} must hold keys and values, not a list or a value")
    return {key.replace("-", "_"): value for key, value in document.items()}


def nearest(name: str, valid: Iterable[str]) -> str:
    """Say which valid name was probably meant, or which there are."""
    names = list(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(names)}"


def option_name(field: str) -> str:
    """Name of a field on the command line."""
    return "--" + field.replace("_", "-")


def config_hash(config: WorkflowConfig) -> str:
    """Hash a config, 16 hex digits; equal configs have equal hashes."""
    canonical = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _require_known(
    model: type[WorkflowConfig], values: Mapping[str, Any], file: str | Path | None
) -> None:
    for key in values:
        if key not in model.model_fields:
            hint = nearest(key, model.model_fields)
            raise UsageError(f"unknown key {key!r} in the config file {file}; {hint}")


def _sentence(err: ValidationError) -> str:
    problems: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    for error in err.errors():
        field = str(error["loc"][0]) if error["loc"] else ""
        problems.setdefault(field, []).append(_problem(error["type"], error["msg"]))
        values[field] = error["input"]
    return "; ".join(_about(field, found, values[field]) for field, found in problems.items())


def _problem(kind: str, message: str) -> str:
    if kind == "missing":
        return "is needed"
    if kind == "extra_forbidden":
        return "is not known"
    plain = message.removeprefix("Value error, ")
    return plain[:1].lower() + plain[1:] if plain.startswith("Input ") else plain


def _about(field: str, problems: list[str], value: Any) -> str:
    told = " or ".join(dict.fromkeys(problems))
    if not field:
        return told
    if told in ("is needed", "is not known"):
        return f"{option_name(field)} {told}"
    return f"{option_name(field)}: {told}, got {value!r}"
