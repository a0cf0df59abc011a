"""The OpenAPI document: what all operations share is added here, so that no route forgets it."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic.json_schema import models_json_schema

from service.auth.access import Requires
from service.problems import MEDIA_TYPE, Problem, problems

TAGS = {
    "slides": "Slides by ID: registered, uploaded, or known from an archive; their pixels.",
    "tiles": "Deep Zoom: what a viewer asks for.",
    "maps": "Tissue maps and heatmaps: as pictures, outlines, layers, areas.",
    "patches": "Patches of an archive, and those that look alike.",
    "embeddings": "Embeddings of patches, in the format of each tool.",
    "archives": "Archives of patches.",
    "models": "Encoders and trained models that jobs may use.",
    "jobs": "Workflows run as jobs: submit, watch, cancel.",
    "workflows": "What jobs may do, and the schemas of their configs.",
    "tokens": "Who may do what.",
    "operation": "What operators and their machines ask.",
}
UNCOUNTED = ("/healthz", "/readyz")
"""Asked as often as one likes."""
ON_THIS_MACHINE = ("/metrics",)
"""Needs no token there."""
SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "mt_<id>_<secret>",
        "description": "A token of `microtome token create`, or of `POST /api/v1/tokens`.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "microtome_session",
        "description": "The viewer's cookie, which `POST /api/v1/session` sets.",
    },
}

Document = dict[str, Any]


def install_openapi(app: FastAPI) -> None:
    """Let the application give the whole document."""
    plain = app.openapi

    def openapi() -> Document:
        return app.openapi_schema or complete(app, plain())

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents


def complete(app: FastAPI, document: Document) -> Document:
    """Add to FastAPI's document what all operations share."""
    needed = scopes(app)
    for path, method, operation in operations(document):
        _sum_up(operation)
        _secure(operation, needed.get((method, path)), path)
        _add_problems(operation, path)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    template = "#/components/schemas/{model}"
    _, defined = models_json_schema([(Problem, "serialization")], ref_template=template)
    schemas |= defined["$defs"]
    document["components"]["securitySchemes"] = SCHEMES
    document["tags"] = [{"name": name, "description": about} for name, about in TAGS.items()]
    return document


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Give path, method and description of every operation."""
    for path, item in document.get("paths", {}).items():
        for method, operation in item.items():
            yield path, method.upper(), operation


def scopes(app: FastAPI) -> dict[tuple[str, str], str]:
    """Scope that each route asks for, by method and path; without those that ask for none."""
    found = {}
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        for scope in _asked(dependant) if dependant is not None else ():
            for method in route.methods or ():
                found[method, str(route.path_format)] = scope
    return found


def _asked(dependant: Any) -> Iterator[str]:
    for one in dependant.dependencies:
        if isinstance(one.call, Requires):
            yield one.call.scope
        yield from _asked(one)


def _sum_up(operation: Document) -> None:
    """Take the docstring's first line as the summary, where a route says none."""
    made_up = operation["operationId"].replace("_", " ").title()
    operation["summary"] = operation["summary"].rstrip(".")
    if operation["summary"] != made_up:
        return
    first, _, rest = operation.get("description", "").partition("\n")
    if first:
        operation["summary"] = first.rstrip(".")
        operation["description"] = rest.strip()


def _secure(operation: Document, scope: str | None, path: str) -> None:
    if "security" not in operation:
        return
    nothing: list[dict[str, list[str]]] = [{}] if path in ON_THIS_MACHINE else []
    operation["security"] = [{"token": []}, {"session": []}, *nothing]
    if scope is not None:
        needs = f"Needs the scope `{scope}`."
        operation["description"] = f"{needs} {operation.get('description', '')}".strip()


def _add_problems(operation: Document, path: str) -> None:
    """Describe what any request may meet: limits, and a database that is gone."""
    responses = operation["responses"]
    common = [] if path in UNCOUNTED else [400, 429]
    common += [503] if "security" in operation else []
    common += [408, 413] if "requestBody" in operation else []
    common += [414, 431] if "parameters" in operation else []
    if "422" in responses and MEDIA_TYPE not in responses["422"].get("content", {}):
        del responses["422"]
        common.append(422)
    for status, told in problems(*common).items():
        responses.setdefault(str(status), told)
