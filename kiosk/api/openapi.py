"""The OpenAPI 3.1 document, written from the operations that are served."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from kiosk import __version__
from kiosk.api.operation import Call, Operation, answer
from kiosk.api.schema import ANY_OBJECT, TEXT

_BRACES = re.compile(r"\{(\w+)(?::\w+)?\}")
SECURITY: list[dict[str, list[str]]] = [{"key": []}, {"bearer": []}, {"session": []}]
LIMITED = {429: TEXT}
ABOUT = (
    "Didit's Face Match and Face Search, decided on the device, under /v3/; the device's own routes under /device/. "
    "A slash at the end of a path may be left out. Every answer has X-Request-Id. Changes by session carry the token "
    "that GET /device/session gives in X-Kiosk-CSRF."
)


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = _BRACES.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation)
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
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "kiosk_session"},
            }
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    name = re.sub(r"\W+", "_", f"{operation.method.lower()}_{operation.path}").strip("_")
    told: dict[str, Any] = {
        "operationId": name,
        "summary": operation.sentence,
        "tags": [operation.path.split("/")[1] or "pages"],
        "responses": {str(status): response for status, response in sorted(_responses(operation).items())},
    }
    parameters = [
        {"name": part, "in": "path", "required": True, "schema": _part_schema(part)}
        for part in _BRACES.findall(operation.path)
    ]
    parameters += [
        {"name": one.name, "in": "query", "required": False, "description": one.sentence, "schema": dict(one.schema)}
        for one in operation.query
    ]
    if parameters:
        told["parameters"] = parameters
    if operation.form is not None:
        told["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": _form(operation)}}}
    elif operation.json is not None:
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": dict(operation.json)}}}
    if operation.role is not None:
        told["description"] = f"For {operation.role.word}s and above."
        told["security"] = [{}, *SECURITY] if operation.is_free_here or operation.is_for_screen else SECURITY
    else:
        told["security"] = []
    return told


def _part_schema(part: str) -> Mapping[str, Any]:
    if part == "session_number":
        return {"type": "integer", "minimum": 1, "maximum": 2**53}
    return {"type": "string", "minLength": 1}


def _form(operation: Operation) -> dict[str, Any]:
    assert operation.form is not None
    return {
        "type": "object",
        "properties": {name: {**part.schema, "description": part.sentence} for name, part in operation.form.items()},
        "required": [name for name, part in operation.form.items() if part.is_required],
    }


def _responses(operation: Operation) -> dict[int, dict[str, Any]]:
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
    return {status: _response(operation, status, schema) for status, schema in answers.items()}


def _response(operation: Operation, status: int, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    told: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if schema is not None:
        told["content"] = {"application/json": {"schema": dict(schema)}}
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

    async def openapi(_: Call) -> Response:
        return answer(content)

    this = Operation("GET", "/openapi.json", openapi, "This document.", {200: ANY_OBJECT})
    content = document((*known, this))
    return this
