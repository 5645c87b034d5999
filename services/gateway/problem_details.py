"""The one place where errors become HTTP: RFC 9457 problem details with a stable `code`. Nothing internal leaks."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from service_kit.errors import Category, ServiceError

MEDIA_TYPE = "application/problem+json"

_STATUS_OF = {
    Category.INVALID: 422,
    Category.NOT_AUTHENTICATED: 401,
    Category.FORBIDDEN: 403,
    Category.NOT_FOUND: 404,
    Category.CONFLICT: 409,
    Category.LIMIT_EXCEEDED: 429,
    Category.UNAVAILABLE: 503,
}
# Codes whose status says more than their category does.
_STATUS_OF_CODE = {"MALFORMED_JSON": 400, "BODY_TOO_LARGE": 413}
_CODE_OF_STATUS = {
    400: "BAD_REQUEST",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "BODY_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}


class FieldError(BaseModel):
    """One thing that is wrong with the request."""

    field: str = Field(description="Where: `body.vin`, `query.limit`, …", examples=["body.username"])
    message: str = Field(examples=["Field required"])


class Problem(BaseModel):
    """RFC 9457 problem details. Programs go by `code`, which never changes its meaning."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    code: str = Field(examples=["VALIDATION_FAILED"])
    detail: str = Field(
        description="For people: what was wrong and what is allowed.", examples=["the request is not valid"]
    )
    errors: list[FieldError] | None = None
    details: dict[str, Any] | None = Field(None, description="Further facts, by code.")


def problem_body(
    status: int, code: str, detail: str, *, errors: Sequence[FieldError] = (), details: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The members of a problem; also what WebSockets send as their `error` message."""
    body: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body |= {"code": code, "detail": detail}
    if errors:
        body["errors"] = [error.model_dump() for error in errors]
    if details:
        body["details"] = details
    return body


def problem_response(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    status = body["status"]
    headers = dict(headers or {})
    if status == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("www-authenticate", _challenge(body["code"]))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.setdefault("retry-after", "1")
    retry_after = body.get("details", {}).get("retry_after_seconds")
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    return Response(orjson.dumps(body), status, headers, MEDIA_TYPE)


def _challenge(code: str) -> str:
    return 'Bearer realm="sovd"' + (', error="invalid_token"' if "TOKEN" in code else "")


def status_of(error: ServiceError) -> int:
    return _STATUS_OF_CODE.get(error.code, _STATUS_OF[error.category])


def service_error_response(error: ServiceError) -> Response:
    return problem_response(problem_body(status_of(error), error.code, error.message, details=error.details))


def validation_problem(errors: Sequence[Any]) -> dict[str, Any]:
    """From pydantic's errors; never with the input they carry, which may be a password."""
    malformed = next((error for error in errors if error["type"] == "json_invalid"), None)
    if malformed is not None:
        position = malformed["loc"][-1]
        return problem_body(400, "MALFORMED_JSON", f"the body is not JSON: {malformed['ctx']['error']} (at {position})")
    fields = [FieldError(field=_field_name(error["loc"]), message=_message(error)) for error in errors]
    summary = "; ".join(f"{field.field}: {field.message}" for field in fields[:3])
    return problem_body(422, "VALIDATION_FAILED", summary, errors=fields)


def _message(error: dict[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "no such field is known here"
    return str(error["msg"]).removeprefix("Value error, ")


def _field_name(location: Sequence[str | int]) -> str:
    # A key of the client's may be any text, lone surrogates included, which UTF-8 cannot carry.
    return ".".join(str(part)[:80] for part in location).encode("utf-8", "replace").decode()


async def _on_service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return service_error_response(error)


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(validation_problem(error.errors()))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST:  # the framework could not parse the body: bad UTF-8, too deep
        return problem_response(problem_body(400, "MALFORMED_JSON", "the body is not JSON that can be read"))
    status = HTTPStatus(error.status_code)
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed_methods(request) or headers.get("Allow", "")
    code = _CODE_OF_STATUS.get(status, status.name)
    return problem_response(problem_body(status, code, _detail_of(status)), headers)


def _allowed_methods(request: Request) -> str:
    """All of this address: the framework knows one route at a time, each with its one method."""
    path = getattr(request.scope.get("route"), "path_format", "")
    return ", ".join(method.upper() for method in request.app.openapi()["paths"].get(path, ()))


def _detail_of(status: HTTPStatus) -> str:
    return {404: "there is nothing at this address", 405: "this address does not take this method"}.get(
        status, status.description or status.phrase
    )


async def _on_unexpected(_: Request, __: Exception) -> Response:
    return problem_response(problem_body(500, "INTERNAL_ERROR", "something went wrong here; it has been logged"))


async def _on_disconnect(_: Request, __: Exception) -> Response:
    return problem_response(problem_body(400, "BAD_REQUEST", "the request ended before its body did"))


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    ServiceError: _on_service_error,
    RequestValidationError: _on_validation_error,
    HTTPException: _on_http_exception,
    ClientDisconnect: _on_disconnect,
}
# What is not among these is a mistake of ours.
EXPECTED_ERRORS = tuple(_HANDLERS)


def install_problem_details(app: FastAPI) -> None:
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, _on_unexpected)


async def answer_error(request: Request, error: Exception) -> Response:
    """As the framework would have it answered."""
    handler = next((handler for kind, handler in _HANDLERS.items() if isinstance(error, kind)), _on_unexpected)
    return await handler(request, error)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses=`: these answer with problem details. What all routes have (422 …), openapi.py adds."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
