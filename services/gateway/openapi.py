"""The OpenAPI document: what every route has in common is added here, once."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway.problem_details import MEDIA_TYPE, Problem, problem_body, problems

# For a route's `openapi_extra=`. PUBLIC: no token needed. UNLIMITED: nor is it counted against any limit.
PUBLIC: dict[str, Any] = {"security": []}
UNLIMITED: dict[str, Any] = {"security": [], "x-unlimited": True}

_METHODS = ("get", "post", "put", "patch", "delete")
_EXAMPLES = {
    "400": problem_body(400, "MALFORMED_JSON", "the body is not JSON: Expecting value (at 0)"),
    "401": problem_body(401, "TOKEN_EXPIRED", "the access token has expired; use the refresh token"),
    "403": problem_body(403, "FORBIDDEN", "this needs the role admin; you have the role engineer"),
    "404": problem_body(404, "UNKNOWN_VEHICLE", "there is no such vehicle"),
    "409": problem_body(409, "VEHICLE_HAS_OPEN_COMMANDS", "the vehicle has open commands"),
    "413": problem_body(413, "BODY_TOO_LARGE", "the body may have at most 1048576 bytes"),
    "422": problem_body(422, "VALIDATION_FAILED", "query.limit: Input should be greater than or equal to 1"),
    "429": problem_body(
        429, "RATE_LIMITED", "too many requests; 600 per 60 seconds are allowed", details={"retry_after_seconds": 1}
    ),
    "503": problem_body(503, "COMMAND_SERVICE_UNAVAILABLE", "The command service is not available; try again."),
}


def install_openapi(app: FastAPI) -> None:
    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # the framework's own, which are never sent
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs", {}) | {"Problem": problem}
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    for path in document["paths"].values():
        for method in _METHODS:
            if method in path:
                _complete_operation(path[method])
    return document


def _complete_operation(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    takes_input = "422" in responses  # the framework says so for whatever has parameters or a body
    statuses = [422] if takes_input else []
    if "requestBody" in operation:
        statuses += [400, 413]
    if not operation.pop("x-unlimited", False):
        statuses += [429, 503]
    if operation.setdefault("security", [{"bearer": []}]):
        statuses.append(401)
    responses.pop("422", None)
    responses |= {str(status): value for status, value in problems(*statuses).items() if str(status) not in responses}
    for status, response in responses.items():
        content = response.get("content", {}).get(MEDIA_TYPE)
        if content is not None and status in _EXAMPLES:
            content.setdefault("example", _EXAMPLES[status])
    operation["responses"] = dict(sorted(responses.items()))
