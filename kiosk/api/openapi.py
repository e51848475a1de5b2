"""The OpenAPI 3.1 document, written from the operations that are served."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from kiosk import __version__
from kiosk.api.operation import Call, Operation, answer
from kiosk.api.schema import ANY_OBJECT, TEXT, named
from kiosk.store.accounts import Role

_BRACES = re.compile(r"\{(\w+)(?::\w+)?\}")
SECURITY: list[dict[str, list[str]]] = [{"key": []}, {"bearer": []}, {"session": []}]
ABOUT = (
    "Didit's Face Match and Face Search, decided on the device, under /v3/; the device's own routes under /device/. "
    "A slash at the end of a path may be left out. Every answer has X-Request-Id. A change made by a signed-in "
    "session carries the token that GET /device/session gives in X-Kiosk-CSRF."
)


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    for operation in operations:
        path = _BRACES.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Face kiosk",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "kiosk_session"},
            },
        },
    }


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the description of an operation; what it names is put into `schemas`.

    Clients call it by the name of the function that answers it, in the group of the file that has the function.
    """
    responses = sorted(_responses(operation, schemas).items())
    told: dict[str, Any] = {
        "operationId": operation.answer.__name__,
        "summary": operation.sentence,
        "tags": [operation.answer.__module__.rpartition(".")[2]],
        "responses": {str(status): response for status, response in responses},
    }
    parameters = [
        {"name": part, "in": "path", "required": True, "schema": _part_schema(part)}
        for part in _BRACES.findall(operation.path)
    ]
    parameters += [
        {
            "name": one.name,
            "in": "query",
            "required": False,
            "description": one.sentence,
            "schema": _shared(one.schema, schemas),
        }
        for one in operation.query
    ]
    if parameters:
        told["parameters"] = parameters
    if operation.form is not None:
        told["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": {"schema": _form(operation, schemas)}},
        }
    elif operation.json is not None:
        told["requestBody"] = {
            "required": operation.method != "DELETE",  # a key sends none with it; see proven.py
            "content": {"application/json": {"schema": _shared(operation.json, schemas)}},
        }
    if operation.role is not None:
        words = [role.word for role in Role if role >= operation.role]  # each role may what those before it may
        told["description"] = f"Needs the role {' or '.join(words)}."
        told["security"] = [{}, *SECURITY] if operation.is_free_here or operation.is_for_screen else SECURITY
    else:
        told["security"] = []
    return told


def _part_schema(part: str) -> Mapping[str, Any]:
    if part == "session_number":
        return {"type": "integer", "minimum": 1, "maximum": 2**53}
    return {"type": "string", "minLength": 1}


def _shared(schema: Mapping[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Return a schema in which each part that has a title is a reference; put those parts into `schemas`."""
    told = dict(schema)
    for keyword in ("items", "additionalProperties"):
        if isinstance(told.get(keyword), Mapping):
            told[keyword] = _shared(told[keyword], schemas)
    if "properties" in told:
        told["properties"] = {name: _shared(one, schemas) for name, one in told["properties"].items()}
    if "anyOf" in told:
        told["anyOf"] = [_shared(one, schemas) for one in told["anyOf"]]
    title = told.get("title")
    if title is None:
        return told
    if schemas.setdefault(title, told) != told:
        raise ValueError(f"two shapes are called {title}; want a name for each")
    return {"$ref": f"#/components/schemas/{title}"}


def _form(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    assert operation.form is not None
    return {
        "type": "object",
        "properties": {
            name: {**_shared(part.schema, schemas), "description": part.sentence}
            for name, part in operation.form.items()
        },
        "required": [name for name, part in operation.form.items() if part.is_required],
    }


def _responses(operation: Operation, schemas: dict[str, Any]) -> dict[int, dict[str, Any]]:
    answers: dict[int, Any] = {400: TEXT, 405: TEXT}  # a Host that is not this machine's; another method
    if operation.role is not None:
        answers |= {401: TEXT, 403: TEXT, 429: TEXT, 503: TEXT}
    elif operation.is_limited:
        answers |= {401: TEXT, 429: TEXT, 503: TEXT}
    if operation.is_write:
        answers |= {403: TEXT}
    if _BRACES.search(operation.path):
        answers |= {404: TEXT}
    answers |= operation.answers
    return {status: _response(operation, status, schema, schemas) for status, schema in answers.items()}


def _response(
    operation: Operation, status: int, schema: Mapping[str, Any] | None, schemas: dict[str, Any]
) -> dict[str, Any]:
    told: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if schema is not None:
        told["content"] = {"application/json": {"schema": _shared(schema, schemas)}}
        if status == HTTPStatus.OK:
            told["content"] |= {kind: {"schema": {"type": "string"}} for kind in operation.more_types}
    elif status == HTTPStatus.OK:
        told["content"] = {operation.media_type: {"schema": {"type": "string"}}}
    headers = {"X-Request-Id": {"required": True, "schema": {"type": "string", "format": "uuid"}}}
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers["Retry-After"] = {"required": False, "schema": {"type": "string"}}
    told["headers"] = headers
    return told


def operation(operations: Iterable[Operation]) -> Operation:
    """Return the operation that gives the document of these operations and of itself."""
    known = tuple(operations)

    async def show_document(_: Call) -> Response:
        return answer(content)

    this = Operation(
        "GET", "/openapi.json", show_document, "This document.", {200: named("OpenApiDocument", ANY_OBJECT)}
    )
    content = document((*known, this))
    return this
