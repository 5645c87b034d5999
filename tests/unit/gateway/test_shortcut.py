"""The way past the framework answers as the framework would."""

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from gateway.middleware import BodyLimit, RequestEdge
from gateway.problem_details import install_problem_details
from gateway.shortcut import Shortcut
from service_kit.errors import Conflict, Unavailable

ERRORS = {
    "conflict": Conflict("IDEMPOTENCY_CONFLICT", "another body"),
    "away": Unavailable("COMMAND_SERVICE_UNAVAILABLE", "away"),
    "gone": ClientDisconnect(),
    "mistake": RuntimeError("secret detail"),
}


async def endpoint(request: Request) -> Response:
    wish = (await request.body()).decode()
    if wish in ERRORS:
        raise ERRORS[wish]
    return Response(f"{request.scope['route'].path_format} {wish}", 201)


@pytest.fixture
def clients() -> list[httpx.AsyncClient]:
    """One that takes the shortcut, and one that does not."""
    app = FastAPI()
    app.add_api_route("/things", endpoint, methods=["POST"])
    install_problem_details(app)
    short = Shortcut(app, {("POST", "/things"): endpoint})
    return [
        httpx.AsyncClient(transport=httpx.ASGITransport(RequestEdge(BodyLimit(asgi, 20))), base_url="http://gateway")
        for asgi in (short, app)
    ]


@pytest.mark.parametrize("wish", ["well", *ERRORS, "x" * 21])
async def test_both_ways_answer_alike(clients: list[httpx.AsyncClient], wish: str) -> None:
    short, long = [await client.post("/things", content=wish) for client in clients]
    assert (short.status_code, short.content, short.headers) == (long.status_code, long.content, long.headers)
    assert "secret" not in short.text


async def test_everything_else_goes_the_long_way(clients: list[httpx.AsyncClient]) -> None:
    short, _ = clients
    assert (await short.get("/things")).status_code == 405
    assert (await short.post("/things/")).status_code == 307
