"""The refresh token in a cookie, for browsers: out of reach of scripts, and of no use to other sites."""

from typing import Any

from fastapi import Request
from starlette.responses import Response

from gateway.app_state import app_state
from gateway.audit_trail import audit_entry
from gateway.auth import remote_address
from service_kit.errors import Forbidden

REFRESH_COOKIE = "sovd_refresh"
COOKIE_PATH = "/api/v1/auth"
CSRF_HEADER = "X-CSRF-Protection"

# For a route's `openapi_extra=`.
CSRF_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": CSRF_HEADER,
            "in": "header",
            "description": f"`1`, where the refresh token comes in the cookie `{REFRESH_COOKIE}`.",
            "schema": {"type": "string"},
            "example": "1",
        }
    ]
}


def token_of_cookie(request: Request) -> str:
    """Empty when there is no cookie. Raises CSRF_CHECK_FAILED unless a page of ours sends it."""
    token = request.cookies.get(REFRESH_COOKIE, "")
    # Another site's page cannot set the header without asking first, which only allowed origins may.
    if token and (request.headers.get(CSRF_HEADER) != "1" or not _is_origin_known(request)):
        raise _refusal(request)
    return token


def with_cookie(request: Request, answer: Response, refresh_token: str) -> Response:
    _set(request, answer, refresh_token, app_state(request).settings.refresh_token_seconds)
    return answer


def without_cookie(request: Request, answer: Response) -> Response:
    """Tells a browser that has the cookie to forget it."""
    if REFRESH_COOKIE in request.cookies:
        _set(request, answer, "", 0)
    return answer


def _set(request: Request, answer: Response, value: str, seconds: int) -> None:
    answer.set_cookie(
        REFRESH_COOKIE,
        value,
        max_age=seconds,
        path=COOKIE_PATH,
        # As a trusted proxy says, where there is one.
        secure=request.scope["scheme"] == "https",
        httponly=True,
        samesite="strict",
    )


def _is_origin_known(request: Request) -> bool:
    """The gateway's own or an allowed one, where the browser names it."""
    origin = request.headers.get("origin")
    if origin is None:
        return True
    host = request.headers.get("host", "")
    # Where TLS ends in front of the gateway, its own pages are https though its requests are not.
    own = {f"{scheme}://{host}".lower() for scheme in (request.scope["scheme"], "https")}
    return origin.lower() in own or origin in app_state(request).settings.cors_origins


def _refusal(request: Request) -> Forbidden:
    subject, address = ("request", f"{request.method} {request.url.path}"), remote_address(request)
    app_state(request).audit.record(
        audit_entry("request.refused", "refused", subject=subject, remote_address=address, reason="csrf")
    )
    return Forbidden("CSRF_CHECK_FAILED", f"the cookie needs the header {CSRF_HEADER}: 1 and an origin that is known")
