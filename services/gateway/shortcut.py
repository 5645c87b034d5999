"""The way past the framework for the busiest call: its layers cost twice what the call itself does."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.problem_details import EXPECTED_ERRORS, answer_error

Endpoint = Callable[[Request], Awaitable[Response]]


class _Route(NamedTuple):
    """What metrics, spans and errors ask of a route."""

    path_format: str


class Shortcut:
    """ASGI: calls these endpoints directly and leaves the rest to `app`, which has them too, for its documentation.

    An endpoint reads its request by itself; its path has no parameters.
    """

    def __init__(self, app: FastAPI, endpoints: Mapping[tuple[str, str], Endpoint]) -> None:
        self._app = app
        self._rest: ASGIApp = app
        self._endpoints = {key: (endpoint, _Route(key[1])) for key, endpoint in endpoints.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._endpoints.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None:
            await self._rest(scope, receive, send)
            return
        endpoint, scope["route"] = found
        scope["app"] = self._app
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except EXPECTED_ERRORS as error:
            response = await answer_error(request, error)
        except Exception as error:
            await (await answer_error(request, error))(scope, receive, send)
            raise
        await response(scope, receive, send)
