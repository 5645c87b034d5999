"""Every error becomes problem details, and says nothing that it should not."""

from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI, HTTPException

from gateway.api_types import ApiModel, ShortText
from gateway.middleware import RequestEdge
from gateway.problem_details import MEDIA_TYPE, install_problem_details
from service_kit.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    LimitExceeded,
    NotAuthenticated,
    NotFound,
    ServiceError,
    Unavailable,
)


class Body(ApiModel):
    password: ShortText
    count: int


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    install_problem_details(app)

    @app.post("/body")
    async def body(body: Body) -> dict[str, str]:
        return {}

    return app


@pytest.fixture
def client(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(RequestEdge(app), raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == MEDIA_TYPE
    body: dict[str, Any] = orjson.loads(answer.content)
    assert body["status"] == answer.status_code
    assert body["type"] == "about:blank"
    assert body["title"]
    return body


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInput("INVALID_PARAMETERS", "no"), 422),
        (InvalidInput("MALFORMED_JSON", "no"), 400),
        (NotAuthenticated("INVALID_TOKEN", "no"), 401),
        (Forbidden("FORBIDDEN", "no"), 403),
        (NotFound("UNKNOWN_VEHICLE", "no"), 404),
        (Conflict("DUPLICATE_VIN", "no"), 409),
        (LimitExceeded("VEHICLE_QUEUE_FULL", "no"), 429),
        (Unavailable("COMMAND_SERVICE_UNAVAILABLE", "no"), 503),
    ],
)
async def test_service_errors(app: FastAPI, client: httpx.AsyncClient, error: ServiceError, status: int) -> None:
    @app.get("/fails")
    async def fails() -> None:
        raise error

    answer = await client.get("/fails")
    assert answer.status_code == status
    assert problem(answer) | {"code": error.code, "detail": "no"} == problem(answer)


async def test_details_and_headers(app: FastAPI, client: httpx.AsyncClient) -> None:
    @app.get("/limit")
    async def limit() -> None:
        raise LimitExceeded("RATE_LIMITED", "slow down", {"retry_after_seconds": 7})

    @app.get("/token")
    async def token() -> None:
        raise NotAuthenticated("TOKEN_EXPIRED", "expired")

    @app.get("/login")
    async def login() -> None:
        raise NotAuthenticated("INVALID_CREDENTIALS", "wrong")

    @app.get("/away")
    async def away() -> None:
        raise Unavailable("DATABASE_UNAVAILABLE", "away")

    limited = await client.get("/limit")
    assert limited.headers["retry-after"] == "7"
    assert problem(limited)["details"] == {"retry_after_seconds": 7}
    assert (await client.get("/token")).headers["www-authenticate"] == 'Bearer realm="sovd", error="invalid_token"'
    assert (await client.get("/login")).headers["www-authenticate"] == 'Bearer realm="sovd"'
    assert (await client.get("/away")).headers["retry-after"] == "1"


async def test_wrong_fields_are_named_but_never_shown(client: httpx.AsyncClient) -> None:
    body = problem(await client.post("/body", json={"password": ["s3cret"], "count": "s3cret", "s3nd": "s3cret"}))
    assert body["code"] == "VALIDATION_FAILED"
    assert {error["field"] for error in body["errors"]} == {"body.password", "body.count", "body.s3nd"}
    assert "s3cret" not in orjson.dumps(body).decode()


@pytest.mark.parametrize(
    "content",
    [b"{", b"nonsense", b'{"password": "s3cret"', b"\xff\xfe", b"[" * 100_000],
)
async def test_malformed_json(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post("/body", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert problem(answer)["code"] == "MALFORMED_JSON"
    assert "s3cret" not in answer.text


@pytest.mark.parametrize(
    "content",
    [
        b'{"\\ud800": 1}',
        b'{"password": "\\ud800", "count": 1}',
        b'{"password": "\\u0000", "count": 1}',
        b"null",
        b"[]",
        b"1e999",
    ],
)
async def test_json_that_is_no_such_object(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post("/body", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert problem(answer)["code"] == "VALIDATION_FAILED"


async def test_unknown_addresses_and_methods(client: httpx.AsyncClient) -> None:
    assert problem(await client.get("/nowhere"))["code"] == "NOT_FOUND"
    wrong_method = await client.delete("/body")
    assert problem(wrong_method)["code"] == "METHOD_NOT_ALLOWED"
    assert wrong_method.headers["allow"] == "POST"


async def test_an_http_exception_keeps_its_detail_to_itself(app: FastAPI, client: httpx.AsyncClient) -> None:
    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(415, "internal detail")

    answer = await client.get("/teapot")
    assert problem(answer)["code"] == "UNSUPPORTED_MEDIA_TYPE"
    assert "internal" not in answer.text


async def test_an_unexpected_error_is_logged_here_and_hidden_there(
    app: FastAPI, client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.get("/breaks")
    async def breaks() -> None:
        raise RuntimeError("table users has no column")

    answer = await client.get("/breaks")
    assert answer.status_code == 500
    assert problem(answer)["code"] == "INTERNAL_ERROR"
    assert "users" not in answer.text
    logged = capsys.readouterr()
    assert "table users has no column" in logged.out + logged.err
