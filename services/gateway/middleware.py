"""What surrounds every request, as plain ASGI: span, metrics, access log, security headers, size of the body."""

import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.metrics import HTTP_DURATION, HTTP_REQUESTS
from gateway.problem_details import problem_body, problem_response
from service_kit.logging import get_logger
from service_kit.tracing import SpanKind, span, unsampled_traceparent

log = get_logger(__name__)

Headers = list[tuple[bytes, bytes]]

UNMATCHED = "unmatched"
# Where a part of the application says with which headers it is to be answered; else it is the API.
SCOPE_HEADERS = "sovd.headers"
# Asked every few seconds by whoever runs the service.
_PROBES = ("/health/", "/metrics")

COMMON_HEADERS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
_API_HEADERS: Headers = [
    *COMMON_HEADERS,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]
# The documentation page loads Swagger UI from its CDN; nothing else may load anything.
DOCS_PATH = "/docs"
_CDN = "https://cdn.jsdelivr.net"
_DOCS_HEADERS: Headers = [
    *COMMON_HEADERS,
    (
        b"content-security-policy",
        f"default-src 'none'; script-src {_CDN} 'unsafe-inline'; style-src {_CDN} 'unsafe-inline'; "
        f"img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'".encode(),
    ),
]
_ONLY_HTTPS = (b"strict-transport-security", b"max-age=31536000")

# A body that is too large is read and thrown away up to so many times the limit; beyond that, it is cut off.
DISCARD_TIMES = 16

# label values → (counter, histogram): looking children up by labels costs more than counting.
_children: dict[tuple[str, str, int], tuple[Any, Any]] = {}


class RequestEdge:
    """Outermost: whatever happens inside, the request is answered, counted and traced."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # Bound now, when logging is set up: a line that is not wanted then costs next to nothing.
        self._log = log.bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_headers_for(scope)]
            await send(message)

        method = scope["method"]
        with span(method, _traceparent(scope), SpanKind.SERVER) as active:
            try:
                await self._app(scope, receive, send_with_headers)
            except Exception:  # the answer was given by then, if it could be
                self._log.exception("request_failed", method=method, path=scope["path"])
            route = _route(scope)
            if route != UNMATCHED:
                active.rename(f"{method} {route}")
            active.set(**{"http.request.method": method, "http.route": route, "http.response.status_code": status})
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                active.fail(str(status))
            self._account(scope, method, route, status, time.perf_counter() - started)

    def _account(self, scope: Scope, method: str, route: str, status: int, seconds: float) -> None:
        key = (method if route != UNMATCHED else "any", route, status)
        children = _children.get(key)
        if children is None:
            counter = HTTP_REQUESTS.labels(key[0], route, str(status))
            children = _children[key] = (counter, HTTP_DURATION.labels(key[0], route))
        children[0].inc()
        children[1].observe(seconds)
        report = self._log.warning if status >= HTTPStatus.INTERNAL_SERVER_ERROR else self._log.debug
        # The path alone: a query may carry a ticket or a token.
        report(
            "request",
            method=method,
            path=scope["path"],
            status=status,
            milliseconds=round(seconds * 1000, 1),
            user=getattr(scope.get("sovd.user"), "username", None),
        )


def _headers_for(scope: Scope) -> Headers:
    headers: Headers = scope.get(SCOPE_HEADERS) or (_DOCS_HEADERS if scope["path"] == DOCS_PATH else _API_HEADERS)
    return [*headers, _ONLY_HTTPS] if scope["scheme"] == "https" else headers


def _traceparent(scope: Scope) -> str:
    """Of the caller; "" begins a trace."""
    if scope["path"].startswith(_PROBES):
        return unsampled_traceparent()
    headers: Headers = scope["headers"]
    for name, value in headers:
        if name == b"traceparent":
            return value.decode("latin-1")
    return ""


def _route(scope: Scope) -> str:
    """The route's pattern: a bounded number of label values, whatever clients ask for."""
    route = scope.get("route")
    return getattr(route, "path_format", UNMATCHED)


class BodyLimit:
    """Refuses a body that is too large, announced or chunked, before it is in memory."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            length, chunked = _announced(scope["headers"])
            if length > self._max_bytes:
                body = problem_body(413, "BODY_TOO_LARGE", f"the body may have at most {self._max_bytes} bytes")
                answer = problem_response(body, await self._headers_after_discarding(receive, length))
                await answer(scope, receive, send)
                return
            if chunked:
                receive = self._counting(receive)
        await self._app(scope, receive, send)

    def _counting(self, receive: Receive) -> Receive:
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                more = received if message.get("more_body") else 0
                raise HTTPException(413, headers=await self._headers_after_discarding(receive, more))
            return message

        return receive_counted

    async def _headers_after_discarding(self, receive: Receive, at_least: int) -> dict[str, str]:
        """Reads what still comes, within reason: a client that is cut off while it sends never sees its answer."""
        received = 0
        while at_least and max(received, at_least) <= self._max_bytes * DISCARD_TIMES:
            message = await receive()
            received += len(message.get("body", b""))
            if not message.get("more_body"):
                return {}
        return {"connection": "close"} if at_least else {}


def _announced(headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, bool]:
    """Content-Length (0 without), and whether the body is chunked."""
    length, chunked = 0, False
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            length = int(value[:20])
        elif name == b"transfer-encoding":
            chunked = True
    return length, chunked
