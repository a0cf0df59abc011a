"""The commands of the command line, each made from its workflow's config model.

Every field is an option with the field's sentence; values are checked by the model alone.
"""

import inspect
import json
import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from cyclopts import Parameter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from workflows.config import POSITIONAL, WorkflowConfig, make_config
from workflows.progress import choose_display, shown
from workflows.registry import WORKFLOWS, Workflow

if TYPE_CHECKING:
    from workflows.outcome import Outcome

WIDE = 160
"""Columns of a table where the output is no terminal, so that lines stay whole for `grep`."""

FACE = {
    "config": (str, "TOML or JSON file with values for these options; the options themselves win."),
    "json": (bool, "Print one JSON object instead of a table."),
    "quiet": (bool, "No progress and no warnings."),
}


def __getattr__(name: str) -> Callable[..., int]:
    """Make the command of a workflow when it is first asked for; `_` stands for a space."""
    found = WORKFLOWS.get(name.replace("_", " "))
    if found is None:
        raise AttributeError(f"there is no workflow {name!r}")
    return command(found)


def command(workflow: Workflow) -> Callable[..., int]:
    """Make the function of a command; its signature is what cyclopts parses and explains."""
    model = workflow.config_model
    positional = [n for n, _ in _by_need(model) if _is_positional(model.model_fields[n])]

    def run(*words: str, **given: Any) -> int:
        face = {name: given.pop(name, None) for name in FACE}
        values = {name: value for name, value in given.items() if value is not None}
        for name in positional:
            many = get_origin(model.model_fields[name].annotation) is tuple
            taken, words = (words, ()) if many else (words[:1], words[1:])
            if taken:
                values[name] = taken if many else taken[0]
        if workflow.by_file and words:
            face["config"] = words[0]
        config = make_config(model, values, face["config"])
        return execute(workflow, config, as_json=bool(face["json"]), quiet=bool(face["quiet"]))

    run.__doc__ = inspect.getdoc(model)
    signature = _signature(model, by_file=workflow.by_file)
    run.__signature__ = signature  # type: ignore[attr-defined]  # what inspect looks at
    return run


def execute(workflow: Workflow, config: WorkflowConfig, *, as_json: bool, quiet: bool) -> int:
    """Run a workflow, show how far it is, and print what came of it; gives the exit code."""
    with shown(choose_display(quiet=quiet)) as progress:
        outcome = workflow.run(config, progress)
    if outcome.told:
        return outcome.exit_code
    if as_json:
        sys.stdout.write(json.dumps(outcome.document) + "\n")
    elif not (quiet and outcome.exit_code == 0 and workflow.silent):
        _print_view(workflow, outcome)
    return outcome.exit_code


def _print_view(workflow: Workflow, outcome: "Outcome") -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    module, _, function = workflow.view.rpartition(".")
    view = getattr(import_module(f"workflows.views.{module}"), function)
    for part in view(outcome.document):
        console.print(part)


def _is_positional(field: FieldInfo) -> bool:
    return POSITIONAL in field.metadata


def _by_need(model: type[WorkflowConfig]) -> list[tuple[str, FieldInfo]]:
    """Fields that are needed first; of words without a flag, a field of many words comes last."""
    return sorted(model.model_fields.items(), key=lambda item: not item[1].is_required())


def _signature(model: type[WorkflowConfig], *, by_file: bool) -> inspect.Signature:
    """Make the signature; `by_file` also takes the config file without its flag."""
    fields = _by_need(model)
    words = [_words(name, field) for name, field in fields if _is_positional(field)]
    options = [
        _option(name, _plain(field.annotation), _help(field), _default(field))
        for name, field in fields
        if not _is_positional(field)
    ]
    face = [_option(name, hint, text, negative=()) for name, (hint, text) in FACE.items()]
    if by_file:
        words.append(face.pop(0).replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD))
    return inspect.Signature([*words, *options, *face])


def _words(name: str, field: FieldInfo) -> inspect.Parameter:
    many = get_origin(field.annotation) is tuple
    about = Parameter(help=_help(field), required=False, show_default=False)
    if many:
        return inspect.Parameter(
            name, inspect.Parameter.VAR_POSITIONAL, annotation=Annotated[str, about]
        )
    hint = Annotated[str | None, about]
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY, annotation=hint, default=None)


def _option(
    name: str,
    hint: Any,
    text: str,
    default: str | None = None,
    *,
    negative: tuple[str, ...] | None = None,
) -> inspect.Parameter:
    show_default = False if default is None else (lambda _: default)
    off = negative if hint is bool else ()
    about = Parameter(
        help=text,
        required=False,
        show_default=show_default,
        negative=off,
        consume_multiple=get_args(hint)[-1:] == (...,),  # --encoder A B
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[hint | None, about],
        default=None,
    )


def _plain(annotation: Any) -> Any:
    """Reduce a field's type to what one word of a command line can be told apart by."""
    if annotation in (bool, int, float, str) or get_origin(annotation) in (Literal, tuple):
        return annotation
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    return _plain(kinds[0]) if len(kinds) == 1 else str


def _help(field: FieldInfo) -> str:
    text = " ".join((field.description or "").split())
    return f"{text} Needed." if field.is_required() and not _is_positional(field) else text


def _default(field: FieldInfo) -> str | None:
    value = field.default
    if value is PydanticUndefined or value is None or value is False:
        return None
    if isinstance(value, tuple):
        return " ".join(item if isinstance(item, str) else f"{item:g}" for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return "yes" if value is True else str(value)
